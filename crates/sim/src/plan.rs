//! What happens to a world: drawn by proptest, so that a failing plan shrinks.

use proptest::prelude::*;

use super::clock::MILLI;

pub const VERIFIERS: usize = 5;
/// What each verifier serves.
pub(crate) const SERVED: [&[&str]; VERIFIERS] =
    [&["acme", "blog"], &["acme"], &["blog", "acme"], &["blog", "shop"], &["acme"]];
/// This one is configured like [`TWIN_OF`], name and all, on a machine of its own.
pub(crate) const TWIN: usize = 4;
pub(crate) const TWIN_OF: usize = 1;
/// Whether each verifier keeps a state folder.
pub(crate) const KEEPS_STATE: [bool; VERIFIERS] = [false, true, true, false, true];
/// `acme` stays strict for good, so that its bound is the one that is promised; the others change.
pub(crate) const NAMESPACES: [(&str, &str); 3] = [("acme", "strict"), ("blog", "grace=5s"), ("shop", "grace=20s")];
pub(crate) const FRESHNESS: [&str; 4] = ["strict", "grace=2s", "grace=8s", "grace=20s"];

/// The rates that a clock may have: 10 % off at most, in millionths.
pub const RATE_SLOWEST: u64 = 900_000;
pub const RATE_FASTEST: u64 = 1_100_000;

#[derive(Debug, Clone)]
pub struct Plan {
    /// Of delays and of everything else that is not planned.
    pub seed: u64,
    pub authority_rate: u64,
    pub verifier_rates: [u64; VERIFIERS],
    /// Each message takes up to this many milliseconds.
    pub delay_max: u64,
    /// How long after the one before, in milliseconds, and what.
    pub actions: Vec<(u64, Action)>,
    pub flaw: Option<Flaw>,
}

/// Spans are in milliseconds. A process is a verifier's number; `None` is the authority.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// One token of the namespace is revoked.
    Revoke { namespace: usize },
    /// So many tokens are issued in one record, and as many revoked in another: neither fits into one frame.
    RevokeMany { namespace: usize, tokens: usize },
    /// One token is issued.
    Issue { namespace: usize },
    /// The freshness of a namespace that may change becomes another.
    Policy { namespace: usize, freshness: usize },
    /// The token that a verifier connects with is revoked; it is given another one later.
    RevokeOwn { verifier: usize, another_after: u64 },
    /// Nothing gets through in these directions.
    Block { verifier: usize, up: bool, down: bool, span: u64 },
    /// The connection is reset.
    Break { verifier: usize },
    /// SIGSTOP, then SIGCONT.
    Stop { process: Option<usize>, span: u64 },
    /// The machine is paused: its boot clock stops too.
    Freeze { process: Option<usize>, span: u64 },
    /// The apply path hangs, the rest of the process answers on.
    Stall { verifier: usize, span: u64 },
    /// kill -9, and a start after a while.
    Crash { process: Option<usize>, span: u64 },
    /// A row of the table is lost, added or altered, and nobody wrote it.
    Rot { verifier: usize, row: usize, how: Rot },
    /// Goodbye, and another process after a while.
    Leave { verifier: usize, span: u64 },
    /// The twin starts anew on a copy of the other's state folder: of its files, or of its whole disk.
    Copy { disk: bool },
    /// The twin is started in the other's state folder while that one runs there.
    Second,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy)]
pub enum Rot {
    Lost,
    Added,
    Altered,
}

/// A world in which one rule is broken on purpose, to see that the checks notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The replica says that a record is visible before it is.
    AckBeforeApply,
    /// The process goes on answering after its goodbye.
    AnswerAfterGoodbye,
    /// The lease counts from the arrival of the grant.
    LeaseFromReceive,
    /// An answer is released under whatever lease there is by then, and not under that of its table read.
    LeaseOfRelease,
    /// A jump of real time is not looked at.
    JumpIgnored,
    /// A verifier's clock is slower than anything that the margin covers.
    DriftBeyondMargin,
    /// A start finds no session in its registry.
    SessionsLostAtStart,
    /// A start thinks that it has been running for long.
    StartForgotten,
    /// A start knows only the newest policy of each namespace.
    NewestPolicyOnly,
    /// The authority acknowledges without waiting for the hellos that it has begun to verify.
    HelloNotCounted,
    /// The replica follows the log and never compares what it holds.
    ChainOnly,
    /// The authority does not compare what a hello says of the verifier's table.
    HelloNotSummedUp,
    /// A boot id is not looked at.
    SuccessionOtherBoot,
    /// A lock file is believed to be where it says it is.
    SuccessionFromFile,
    /// The lock file is replaced when it is written, so that its lock excludes nobody.
    LockRenamed,
    /// A record is acknowledged when its first frame comes.
    AckAtFirstFrame,
    /// After a reset the verifier goes on behind a record of which it has a part. (And its hello is not compared: that alone
    /// would show it.)
    ResumeAfterFirstFrame,
    /// A snapshot is of a view from before the last record, be that sent or not.
    SnapshotOfBefore,
    /// The copy of a table that was found to be wrong is gone on from.
    DiskCopyKept,
    /// A lease is kept with the copy, and in force at once.
    WarmServesBeforeLease,
}

impl Flaw {
    pub const ALL: [Self; 20] = [
        Self::AckBeforeApply,
        Self::AnswerAfterGoodbye,
        Self::LeaseFromReceive,
        Self::LeaseOfRelease,
        Self::JumpIgnored,
        Self::DriftBeyondMargin,
        Self::SessionsLostAtStart,
        Self::StartForgotten,
        Self::NewestPolicyOnly,
        Self::HelloNotCounted,
        Self::ChainOnly,
        Self::HelloNotSummedUp,
        Self::SuccessionOtherBoot,
        Self::SuccessionFromFile,
        Self::LockRenamed,
        Self::AckAtFirstFrame,
        Self::ResumeAfterFirstFrame,
        Self::SnapshotOfBefore,
        Self::DiskCopyKept,
        Self::WarmServesBeforeLease,
    ];
}

pub fn plan() -> impl Strategy<Value = Plan> {
    let rate = || prop_oneof![Just(RATE_SLOWEST), Just(RATE_FASTEST), RATE_SLOWEST..=RATE_FASTEST];
    let delay_max = prop_oneof![3 => 1..20_u64, 1 => 20..800_u64];
    let gap = prop_oneof![2 => 0..50_u64, 3 => 50..1_500_u64, 1 => 1_500..9_000_u64];
    let rates = [rate(), rate(), rate(), rate(), rate()];
    let actions = prop::collection::vec((gap, action()), 4..40);
    (any::<u64>(), rate(), rates, delay_max, actions).prop_map(
        |(seed, authority_rate, verifier_rates, delay_max, actions)| Plan {
            seed,
            authority_rate,
            verifier_rates,
            delay_max,
            actions,
            flaw: None,
        },
    )
}

impl Plan {
    pub(crate) fn delay(&self, roll: u64) -> u64 {
        roll % (self.delay_max * MILLI)
    }
}

fn action() -> impl Strategy<Value = Action> {
    let verifier = || 0..VERIFIERS;
    let namespace = || 0..NAMESPACES.len();
    let process = || prop_oneof![1 => Just(None), 3 => verifier().prop_map(Some)];
    let short = || prop_oneof![1 => 1..400_u64, 2 => 400..3_000_u64];
    let span = move || prop_oneof![2 => short(), 2 => 3_000..12_000_u64, 1 => 12_000..40_000_u64];
    let rot = prop_oneof![Just(Rot::Lost), Just(Rot::Added), Just(Rot::Altered)];
    prop_oneof![
        12 => namespace().prop_map(|namespace| Action::Revoke { namespace }),
        6 => (namespace(), 2..7_usize).prop_map(|(namespace, tokens)| Action::RevokeMany { namespace, tokens }),
        3 => namespace().prop_map(|namespace| Action::Issue { namespace }),
        3 => (1..NAMESPACES.len(), 0..FRESHNESS.len())
            .prop_map(|(namespace, freshness)| Action::Policy { namespace, freshness }),
        2 => (verifier(), short()).prop_map(|(verifier, another_after)| Action::RevokeOwn { verifier, another_after }),
        4 => (verifier(), any::<bool>(), any::<bool>(), span())
            .prop_map(|(verifier, up, down, span)| Action::Block { verifier, up, down, span }),
        3 => verifier().prop_map(|verifier| Action::Break { verifier }),
        3 => (process(), span()).prop_map(|(process, span)| Action::Stop { process, span }),
        2 => (process(), span()).prop_map(|(process, span)| Action::Freeze { process, span }),
        2 => (verifier(), span()).prop_map(|(verifier, span)| Action::Stall { verifier, span }),
        3 => (process(), short()).prop_map(|(process, span)| Action::Crash { process, span }),
        2 => (verifier(), short()).prop_map(|(verifier, span)| Action::Leave { verifier, span }),
        2 => (verifier(), any::<usize>(), rot).prop_map(|(verifier, row, how)| Action::Rot { verifier, row, how }),
        1 => any::<bool>().prop_map(|disk| Action::Copy { disk }),
        1 => Just(Action::Second),
    ]
}
