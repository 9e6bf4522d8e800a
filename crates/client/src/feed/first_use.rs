//! Who waits for a watermark, and the word that wakes them: `jeton-verifier` decides, this carries it to the tasks.
//!
//! Whoever waits also counts the time itself, so that a driver that is busy makes nobody wait longer.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jeton_feed::numbers::FIRST_USE_WAIT;
use jeton_types::BootTime;
use jeton_verifier::{
    StaleWhy,
    first_use::{CaughtUp, FirstUse, Ticket, TooMany},
};
use tokio::{sync::oneshot, time::timeout};

#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    machine: FirstUse,
    tasks: HashMap<Ticket, oneshot::Sender<Word>>,
}

/// What a waiter is told. To be told nothing is to be too late.
#[derive(Debug)]
enum Word {
    CaughtUp(CaughtUp),
    Failed,
}

/// A place among the waiters, given up when dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    waiters: &'a Waiters,
    ticket: Ticket,
    word: oneshot::Receiver<Word>,
}

impl Waiters {
    /// Begins to wait. The driver is to be woken then.
    pub(super) fn join(&self, now: BootTime, client: Option<IpAddr>) -> Result<Place<'_>, TooMany> {
        let mut state = self.state();
        let ticket = state.machine.join(now, client)?;
        let (tell, word) = oneshot::channel();
        state.tasks.insert(ticket, tell);
        Ok(Place { waiters: self, ticket, word })
    }

    /// Lets go who waited too long; says whether a request should leave now.
    pub(super) fn wants_ask(&self, now: BootTime) -> bool {
        let mut state = self.state();
        for ticket in state.machine.tick(now) {
            state.tasks.remove(&ticket);
        }
        state.machine.wants_ask(now)
    }

    pub(super) fn next_wakeup(&self) -> Option<BootTime> {
        self.state().machine.next_wakeup()
    }

    /// Before the request is sent.
    pub(super) fn sent(&self, now: BootTime, request: u64) {
        self.state().machine.sent(now, request);
    }

    /// Says when the request was sent that is answered now; nothing if it was given up.
    pub(super) fn answered(&self, request: u64) -> Option<BootTime> {
        let mut state = self.state();
        let answered = state.machine.answered(request);
        state.tell(answered.tickets, || Word::CaughtUp(answered.caught_up));
        answered.sent
    }

    pub(super) fn failed(&self) {
        let mut state = self.state();
        let tickets = state.machine.failed();
        state.tell(tickets, || Word::Failed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No line that holds it can leave it half changed in a way that lets anybody go too early.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, tickets: Vec<Ticket>, word: impl Fn() -> Word) {
        for ticket in tickets {
            if let Some(task) = self.tasks.remove(&ticket) {
                // Who is gone needs no word.
                let _ = task.send(word());
            }
        }
    }
}

impl Place<'_> {
    /// Waits for the authority's word, at most [`FIRST_USE_WAIT`].
    pub(super) async fn caught_up(mut self) -> Result<CaughtUp, StaleWhy> {
        match timeout(FIRST_USE_WAIT, &mut self.word).await {
            Ok(Ok(Word::CaughtUp(caught_up))) => Ok(caught_up),
            Ok(Ok(Word::Failed)) => Err(StaleWhy::StreamDown),
            Ok(Err(_)) | Err(_) => Err(StaleWhy::NotInTime),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.waiters.state();
        // Whoever was told is out of the machine already.
        if state.tasks.remove(&self.ticket).is_some() {
            state.machine.leave(self.ticket);
        }
    }
}
