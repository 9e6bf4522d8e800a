//! What is known about a connection's life, and when it must end.
//!
//! Shared by the bytes that come in, the requests under way and the connection's own task. Only that task ends the
//! connection, so the rules are in one place: [`Vitals::due`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::frames::FrameScan;
use super::limits::Limits;

#[derive(Debug)]
pub(super) struct Vitals {
    limits: Arc<Limits>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    opened_at: Instant,
    /// When the connection's task last looked at the clock. What happens in the same turn of it happens then.
    turn_at: Instant,
    wire: Wire,
    /// When the head that is now coming in began.
    head_since: Option<Instant>,
    /// Requests ever begun.
    requests: u64,
    /// Requests whose response is not over.
    in_flight: usize,
    /// Responses of which the client has yet to take the last piece that the handler gave.
    owed: usize,
    /// When the client last took one, or was first given one.
    progress_at: Instant,
    /// Since when the other end has taken no bytes although there are some for it.
    blocked_since: Option<Instant>,
    /// When the last request ended.
    idle_since: Instant,
    closing_since: Option<Instant>,
    /// A request's body was left unread: its bytes may still be on their way.
    body_unread: bool,
}

#[derive(Debug)]
enum Wire {
    Silent,
    /// As many bytes as these of the HTTP/2 preface have come.
    Preface(usize),
    H1,
    H2(FrameScan),
}

/// What is due at a moment, unless something happens first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Silent,
    SlowHead,
    Stalled,
    Idle,
    Lingering,
    /// Nothing: just look again.
    Look,
}

impl Vitals {
    pub(super) fn new(limits: Arc<Limits>) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            opened_at: now,
            turn_at: now,
            wire: Wire::Silent,
            head_since: None,
            requests: 0,
            in_flight: 0,
            owed: 0,
            progress_at: now,
            blocked_since: None,
            idle_since: now,
            closing_since: None,
            body_unread: false,
        };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// The connection's task begins a turn.
    pub(super) fn turn(&self, now: Instant) {
        self.lock().turn_at = now;
    }

    /// Bytes have come in, in this turn.
    pub(super) fn received(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mut state = self.lock();
            let now = state.turn_at;
            state.received(bytes, now);
        }
    }

    /// There were bytes for the other end, and in this turn it has taken some, or none.
    pub(super) fn sent(&self, taken: bool) {
        let mut state = self.lock();
        let now = state.turn_at;
        if !taken {
            state.blocked_since.get_or_insert(now);
            return;
        }
        state.blocked_since = None;
        // Somebody who still takes an answer is not idle. With HTTP/2 it may be a ping, which says nothing.
        if state.in_flight == 0 && matches!(state.wire, Wire::H1) {
            state.idle_since = now;
        }
    }

    /// A request's body is given up before its end.
    pub(super) fn body_unread(&self) {
        self.lock().body_unread = true;
    }

    /// The client may be sending something that nobody will read, and would lose the answer if the connection just
    /// disappeared. Asked when the connection closes.
    pub(super) fn closes_on_a_sender(&self) -> bool {
        let state = self.lock();
        match state.wire {
            Wire::Silent | Wire::H2(_) => false,
            Wire::Preface(_) | Wire::H1 => state.body_unread || state.head_since.is_some(),
        }
    }

    /// A request's head is complete.
    pub(super) fn begin(self: &Arc<Self>) -> Flight {
        let mut state = self.lock();
        state.requests += 1;
        state.in_flight += 1;
        if matches!(state.wire, Wire::H1) {
            state.head_since = None;
            state.body_unread = false;
        }
        let owes = matches!(state.wire, Wire::H2(_));
        Flight { vitals: Arc::clone(self), owes, owed: false }
    }

    /// Requests begun on this connection.
    pub(super) fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// The connection has been asked to end.
    pub(super) fn close(&self) {
        self.lock().closing_since.get_or_insert_with(Instant::now);
    }

    /// The next moment at which something has to be done, and what.
    pub(super) fn due(&self, now: Instant) -> (Instant, Why) {
        let state = self.lock();
        let limits = &*self.limits;
        // Requests of HTTP/2 begin to respond and end in tasks of their own, which do not wake the connection's.
        let elsewhere = state.in_flight > 0 && matches!(state.wire, Wire::H2(_));
        let look_again = if elsewhere { limits.shortest_wait() } else { LOOK_AGAIN_MAX };
        let mut due = (now + look_again, Why::Look);
        let mut add = |at: Instant, why: Why| {
            if at < due.0 {
                due = (at, why);
            }
        };
        if matches!(state.wire, Wire::Silent) {
            add(state.opened_at + limits.first_byte, Why::Silent);
        }
        if let Some(since) = state.head_since {
            add(since + limits.head, Why::SlowHead);
        }
        if let Some(since) = state.blocked_since {
            add(since + limits.response_stall, Why::Stalled);
        }
        // With HTTP/2 a client can keep a response out of the socket altogether, by its window. (With HTTP/1 what the
        // handler gave may lie in hyper's buffer, which is no fault of the client.)
        if state.owed > 0 && matches!(state.wire, Wire::H2(_)) {
            add(state.progress_at + limits.response_stall, Why::Stalled);
        }
        if state.in_flight == 0 {
            match state.closing_since {
                Some(since) => add(since.max(state.idle_since) + limits.linger, Why::Lingering),
                None => add(state.idle_since + limits.idle, Why::Idle),
            }
        }
        due
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain numbers: a panic elsewhere leaves nothing half done in them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn received(&mut self, mut bytes: &[u8], now: Instant) {
        if matches!(self.wire, Wire::Silent) {
            self.wire = Wire::Preface(0);
        }
        if let Wire::Preface(have) = self.wire {
            let take = bytes.len().min(PREFACE.len() - have);
            self.wire = if bytes[..take] != PREFACE[have..have + take] {
                Wire::H1
            } else if have + take < PREFACE.len() {
                Wire::Preface(have + take)
            } else {
                Wire::H2(FrameScan::default())
            };
            self.head_since.get_or_insert(now);
            bytes = &bytes[take..];
        }
        match &mut self.wire {
            Wire::Silent | Wire::Preface(_) => {}
            // During a request what comes in is its body, or the next one's head ahead of its turn.
            Wire::H1 if self.in_flight == 0 => {
                self.head_since.get_or_insert(now);
            }
            Wire::H1 => {}
            Wire::H2(scan) => {
                let scanned = scan.scan(bytes);
                if scanned.completed || !scanned.incomplete {
                    self.head_since = None;
                }
                if scanned.incomplete {
                    self.head_since.get_or_insert(now);
                }
            }
        }
    }
}

/// A request under way: over when this is dropped, with its response or with its future.
#[derive(Debug)]
pub(super) struct Flight {
    vitals: Arc<Vitals>,
    /// Whether what is owed says anything: with HTTP/1 it does not ([`Vitals::due`]).
    owes: bool,
    owed: bool,
}

impl Flight {
    /// The client is given a piece (`true`), or has taken all there were and waits for the handler (`false`).
    pub(super) fn owe(&mut self, owed: bool) {
        if !self.owes {
            return;
        }
        let mut state = self.vitals.lock();
        state.progress_at = Instant::now();
        match (self.owed, owed) {
            (false, true) => state.owed += 1,
            (true, false) => state.owed -= 1,
            _ => {}
        }
        self.owed = owed;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.vitals.lock();
        // With HTTP/2 requests end in tasks of their own, at any time after the connection's last turn.
        let now = if matches!(state.wire, Wire::H2(_)) { Instant::now() } else { state.turn_at };
        if self.owed {
            (state.owed, state.progress_at) = (state.owed - 1, now);
        }
        state.in_flight -= 1;
        if state.in_flight == 0 {
            state.idle_since = now;
        }
    }
}

/// Nothing can become due without the connection's task knowing; this only keeps a timer in being.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(3_600);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
