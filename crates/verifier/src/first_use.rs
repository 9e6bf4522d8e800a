//! When a token may be newer than the replica (`feed-protocol.md` 18): who waits for which watermark request.
//!
//! Guaranteed: a waiter is let go only by the answer to a request that was sent after it began to wait, so whatever had
//! been issued before is in the answer; one request is in flight; at most 20 leave in a second, evenly spaced, so that
//! somebody who presents made-up births delays others by 50 ms and not by a second; waiters are bounded in all and per
//! client address. Not guaranteed: an answer in time. Who waited too long is stale, never unknown.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use jeton_feed::numbers::{ASKS_PER_SECOND, FIRST_USE_WAIT};
use jeton_types::{
    BootTime,
    fault::{Fault, injected},
};

/// How many may wait in all.
pub const WAITERS_MAX: usize = 1_024;
/// How many may wait for one client address. Loopback and Unix sockets excepted: there stands a proxy.
pub const WAITERS_PER_CLIENT_MAX: usize = 32;
/// The space between two requests.
const SPACING: Duration = Duration::from_nanos(1_000_000_000 / ASKS_PER_SECOND as u64);

/// Proof that a watermark request sent after the caller began to wait was answered and applied. Only
/// [`FirstUse::answered`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct CaughtUp(());

/// One who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Too many wait already; the caller is stale at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// In all.
    #[error("{WAITERS_MAX} verifications wait for the authority already")]
    InAll,
    /// For this client's address.
    #[error("{WAITERS_PER_CLIENT_MAX} verifications of this client wait for the authority already")]
    OfClient,
}

/// Who is let go by an answer.
#[derive(Debug)]
pub struct Answered {
    /// What they may look again with.
    pub caught_up: CaughtUp,
    /// In the order in which they came.
    pub tickets: Vec<Ticket>,
    /// When the request was sent: whatever was committed before is in the answer. Nothing for the answer to a request that
    /// was given up.
    pub sent: Option<BootTime>,
}

/// The waiters of one verifier.
#[derive(Debug, Default)]
pub struct FirstUse {
    last_ticket: u64,
    /// Came since the request in flight was sent, or wait for one to be sent. In the order of their coming.
    queued: Vec<Waiter>,
    flight: Option<Flight>,
    sent_last: Option<BootTime>,
    clients: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    until: BootTime,
    client: Option<IpAddr>,
}

#[derive(Debug)]
struct Flight {
    request: u64,
    waiters: Vec<Waiter>,
}

impl FirstUse {
    /// Nobody waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to wait. `client` is the address of who presented the token, if it has one. The driver then asks as soon
    /// as [`FirstUse::wants_ask`].
    ///
    /// # Errors
    /// [`TooMany`] if there is no room.
    pub fn join(&mut self, now: BootTime, client: Option<IpAddr>) -> Result<Ticket, TooMany> {
        if self.waiting() >= WAITERS_MAX {
            return Err(TooMany::InAll);
        }
        let client = client.map(|address| address.to_canonical()).filter(|address| !address.is_loopback());
        if let Some(client) = client {
            let count = self.clients.entry(client).or_default();
            if *count >= WAITERS_PER_CLIENT_MAX {
                return Err(TooMany::OfClient);
            }
            *count += 1;
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let waiter = Waiter { ticket, until: now.plus(FIRST_USE_WAIT), client };
        match &mut self.flight {
            Some(flight) if injected(Fault::JoinedOlderSync) => flight.waiters.push(waiter),
            _ => self.queued.push(waiter),
        }
        Ok(ticket)
    }

    /// Whether a request should leave now ([`jeton_feed::verifier::Input::AskWatermark`]).
    #[must_use]
    pub fn wants_ask(&self, now: BootTime) -> bool {
        self.ask_at().is_some_and(|at| now >= at)
    }

    /// The request of this number leaves now ([`jeton_feed::verifier::Effect::Asked`]). To be called before it is sent:
    /// who joins from here on waits for the next.
    pub fn sent(&mut self, now: BootTime, request: u64) {
        self.sent_last = Some(now);
        // The session has one in flight at a time; should another still be there, its waiters are served by this one,
        // which is sent after they came just as well.
        let mut waiters = self.flight.take().map_or_else(Vec::new, |flight| flight.waiters);
        waiters.append(&mut self.queued);
        self.flight = Some(Flight { request, waiters });
    }

    /// The request was answered, and everything up to the answer is visible.
    pub fn answered(&mut self, request: u64) -> Answered {
        let waiters = match &mut self.flight {
            Some(flight) if flight.request == request => std::mem::take(&mut flight.waiters),
            // The answer to a request that was given up.
            _ => return Answered { caught_up: CaughtUp(()), tickets: Vec::new(), sent: None },
        };
        self.flight = None;
        Answered { caught_up: CaughtUp(()), tickets: self.let_go(waiters), sent: self.sent_last }
    }

    /// No request will be answered ([`jeton_feed::verifier::Effect::AsksFailed`]): all who wait are stale.
    pub fn failed(&mut self) -> Vec<Ticket> {
        let mut waiters = self.flight.take().map_or_else(Vec::new, |flight| flight.waiters);
        waiters.append(&mut self.queued);
        self.let_go(waiters)
    }

    /// Who has waited too long and is stale.
    pub fn tick(&mut self, now: BootTime) -> Vec<Ticket> {
        self.take(|waiter| now >= waiter.until)
    }

    /// One who waited is gone.
    pub fn leave(&mut self, ticket: Ticket) {
        self.take(|waiter| waiter.ticket == ticket);
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queued.len() + self.flight.as_ref().map_or(0, |flight| flight.waiters.len())
    }

    /// When to call [`FirstUse::tick`] or to ask next; never while nobody waits.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<BootTime> {
        let in_flight = self.flight.iter().flat_map(|flight| &flight.waiters);
        let until = self.queued.iter().chain(in_flight).map(|waiter| waiter.until).min();
        until.into_iter().chain(self.ask_at()).min()
    }

    /// From when the next request may leave; nothing while one is in flight or nobody waits for one.
    fn ask_at(&self) -> Option<BootTime> {
        if self.flight.is_some() || self.queued.is_empty() {
            return None;
        }
        Some(self.sent_last.map_or(BootTime::ZERO, |last| last.plus(SPACING)))
    }

    fn take(&mut self, gone: impl Fn(&Waiter) -> bool) -> Vec<Ticket> {
        let mut taken: Vec<Waiter> = Vec::new();
        if let Some(flight) = &mut self.flight {
            taken.extend(flight.waiters.extract_if(.., |waiter| gone(waiter)));
        }
        taken.extend(self.queued.extract_if(.., |waiter| gone(waiter)));
        self.let_go(taken)
    }

    fn let_go(&mut self, waiters: Vec<Waiter>) -> Vec<Ticket> {
        let mut tickets = Vec::with_capacity(waiters.len());
        for waiter in waiters {
            if let Some(client) = waiter.client
                && let Some(count) = self.clients.get_mut(&client)
            {
                *count -= 1;
                if *count == 0 {
                    self.clients.remove(&client);
                }
            }
            tickets.push(waiter.ticket);
        }
        tickets
    }
}
