//! What goes into a session and what comes out.

use std::time::Duration;

use jeton_types::{BootTime, NamespaceName, Place, Revision, SessionId, VerifierName};

use super::Note;
use crate::message::{ToAuthority, ToVerifier};

/// What stays the same for a session's life.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionConfig {
    /// The verifier's name.
    pub verifier: VerifierName,
    /// 128 random bits, fresh for each process.
    pub session: SessionId,
    /// The namespaces that it serves.
    pub namespaces: Vec<NamespaceName>,
    /// Spreads the reconnects of many verifiers; any random number.
    pub jitter_seed: u64,
    /// The place that the process holds, if it holds one (`feed-protocol.md` 27).
    pub place: Option<Place>,
    /// Sessions of processes that held the place before: what the lock file named before this process added its own.
    /// Never a session of this process, which may still be answering under it.
    pub claims: Vec<SessionId>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// The stream that [`Effect::Connect`] asked for is open.
    Connected,
    /// It could not be opened, or has ended. Not to be told of a stream that [`Effect::Disconnect`] closed.
    Disconnected,
    /// A message came in on the stream.
    Message(ToVerifier),
    /// Somebody waits for a watermark; answered by [`Effect::Asked`] or [`Effect::AsksFailed`] in the same step.
    AskWatermark,
    /// The replica saw real time run ahead of boot time.
    JumpSeen,
    /// The token to connect with is another one: a new stream is opened with it.
    TokenChanged,
    /// The process leaves: no verdict is given from here on.
    Leave,
    /// Time has passed. To be told after the messages that are in already: silence is judged by it.
    Tick,
}

/// What is to be done, in order.
#[expect(clippy::large_enum_variant, reason = "the largest is a hello, which comes once a stream")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Open a stream this much later, then say [`Input::Connected`] or [`Input::Disconnected`]. Replaces an earlier one.
    Connect {
        /// How long to wait before.
        after: Duration,
    },
    /// Close the stream once what was to be sent is sent, or give up opening it, and tell nothing of it any more.
    Disconnect,
    /// Send on the stream.
    Send(ToAuthority),
    /// The watermark request of this number goes out with the next [`Effect::Send`].
    Asked {
        /// Its number, never used twice.
        request: u64,
    },
    /// The request was answered, and everything up to the answer is visible.
    Watermark {
        /// Its number.
        request: u64,
    },
    /// No watermark request will be answered: all who wait for one, or wanted one, are stale.
    AsksFailed,
    /// The replica was not what the log leaves. Whatever was made of it is as wrong: a copy on disk is to be discarded.
    Mistrusted,
    /// These claimed sessions are over, durably: the lock file may forget them.
    Succeeded {
        /// The sessions.
        sessions: Vec<SessionId>,
    },
    /// The session is over; go on with its `Session::successor`.
    Lost(SessionLost),
    /// Something to log or count.
    Note(Note),
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionLost {
    /// The authority knows it as ended.
    Ended,
    /// The authority will not have it: it came with another credential. Its lease and grace run on.
    Refused {
        /// Why, for a person.
        message: String,
    },
    /// Its token ended, expired, or lost its role; goodbye was said.
    TokenEnded {
        /// Why, for a person.
        reason: String,
    },
}

/// A session at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The hello of the present stream was accepted.
    pub connected: bool,
    /// The replica is whole and follows the log on the present stream.
    pub live: bool,
    /// Everything at or below this is visible; nothing before the first snapshot.
    pub applied: Option<Revision>,
    /// When the last heartbeat came.
    pub last_heartbeat: Option<BootTime>,
    /// The protocol that a record needs which this verifier cannot apply.
    pub needs_protocol: Option<u32>,
    /// The session is over.
    pub ended: bool,
}
