//! What happens to a world, drawn from one number.

use std::fmt;

use crate::clock::{MILLI, Rng, mix};

/// As many verifiers as have a role of their own; more of them repeat the roles.
pub const VERIFIERS: usize = 5;
/// What each verifier serves.
const SERVED: [&[&str]; VERIFIERS] = [&["acme", "blog"], &["acme"], &["blog", "acme"], &["blog", "shop"], &["acme"]];
/// This one is configured like [`TWIN_OF`], name and all, on a machine of its own.
pub(crate) const TWIN: usize = 4;
pub(crate) const TWIN_OF: usize = 1;
/// Whether each verifier keeps a state folder.
const KEEPS_STATE: [bool; VERIFIERS] = [false, true, true, false, true];
/// `acme` stays strict for good, so that its bound is the one that is promised; the others change.
pub(crate) const NAMESPACES: [(&str, &str); 3] = [("acme", "strict"), ("blog", "grace=5s"), ("shop", "grace=20s")];
pub(crate) const FRESHNESS: [&str; 4] = ["strict", "grace=2s", "grace=8s", "grace=20s"];

/// The lowest rate that a clock may have: 10 % off, in millionths.
pub const RATE_SLOWEST: u64 = 900_000;
/// The highest.
pub const RATE_FASTEST: u64 = 1_100_000;

/// What a verifier of this number serves.
pub(crate) const fn served(index: usize) -> &'static [&'static str] {
    SERVED[index % VERIFIERS]
}

/// Whether it keeps a state folder. A crowd has none, nor twins.
pub(crate) const fn keeps_state(index: usize) -> bool {
    index < VERIFIERS && KEEPS_STATE[index]
}

/// All that a world is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of delays and of everything else that is not planned.
    pub seed: u64,
    /// How many verifiers there are.
    pub verifiers: usize,
    /// The authority's clock, in millionths of the true rate.
    pub authority_rate: u64,
    /// The verifiers' clocks, by turns.
    pub verifier_rates: [u64; VERIFIERS],
    /// Each message takes up to this many milliseconds.
    pub delay_max: u64,
    /// How long after the one before, in milliseconds, and what.
    pub actions: Vec<(u64, Action)>,
    /// How it ends.
    pub ending: Ending,
}

/// How a world ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every fault heals by itself in its time.
    Heals,
    /// The faults stop where they are, all at once; everybody heals but one verifier, to whom nothing gets through for good.
    Core {
        /// That one.
        cut: usize,
        /// Whether what it says gets through (and nothing that it should hear), or the other way round.
        heard: bool,
    },
}

/// Spans are in milliseconds. A process is a verifier's number; `None` is the authority.
#[expect(missing_docs, reason = "each variant says what its fields are of")]
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// One token of the namespace is revoked.
    Revoke { namespace: usize },
    /// So many tokens are issued in one record, and as many revoked in another: neither fits into one frame.
    RevokeMany { namespace: usize, tokens: usize },
    /// One token is issued.
    Issue { namespace: usize },
    /// One token is issued that lives for so long.
    IssueShort { namespace: usize, ttl: u64 },
    /// A token is issued and presented at once, at a verifier of the namespace.
    FirstUse { namespace: usize, place: usize },
    /// The freshness of a namespace that may change becomes another.
    Policy { namespace: usize, freshness: usize },
    /// The token that a verifier connects with is revoked; it is given another one later.
    RevokeOwn { verifier: usize, another_after: u64 },
    /// Nothing gets through in these directions.
    Block { verifier: usize, up: bool, down: bool, span: u64 },
    /// The connection is reset.
    Break { verifier: usize },
    /// What the verifier said first on its stream arrives once more, on a stream of its own.
    Echo { verifier: usize },
    /// SIGSTOP, then SIGCONT.
    Stop { process: Option<usize>, span: u64 },
    /// The machine is paused: its boot clock stops too.
    Freeze { process: Option<usize>, span: u64 },
    /// The clock runs at another rate from here on.
    Slew { process: Option<usize>, rate: u64 },
    /// Real time is set.
    Step { process: Option<usize>, millis: i64 },
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
    /// The next copy of the replica fails, or is torn.
    CopyFails { verifier: usize, torn: bool },
    /// Writes of the authority fail, or it is not known whether they did.
    Disk { span: u64 },
    /// The log is cut: older records than this are gone.
    Cut { keep: u64 },
    /// The authority's data are kept aside.
    Backup,
    /// The data that were kept aside are put back; a person puts that right after a while.
    Restore { span: u64 },
    /// The next hello shows a head that nobody sealed.
    Forge { verifier: usize },
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy)]
pub enum Rot {
    /// It is not there any more.
    Lost,
    /// One is there that nobody put.
    Added,
    /// It has ended, or lives again.
    Altered,
}

impl Plan {
    /// The world of this number: bursts of faults, and quiet hours between them.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng(mix(seed.wrapping_add(0x5eed)));
        let verifiers = [2, 2, 3, 3, 3, 4, 5, 5][rng.below(8) as usize];
        let mut rate = || match rng.below(3) {
            0 => RATE_SLOWEST,
            1 => RATE_FASTEST,
            _ => rng.within(RATE_SLOWEST, RATE_FASTEST + 1),
        };
        let authority_rate = rate();
        let verifier_rates = [(); VERIFIERS].map(|()| rate());
        let delay_max = match rng.below(16) {
            0..=10 => rng.within(1, 20),
            11..=14 => rng.within(20, 800),
            // Up to four times the lease.
            _ => rng.within(800, 20_000),
        };
        let mut drawn = Draw::new(&mut rng, verifiers);
        let mut actions = Vec::new();
        let bursts = 1 + drawn.rng.below(5);
        for burst in 0..bursts {
            // The last one is soon followed by the end.
            let quiet = if burst == 0 { 0 } else { drawn.rng.within(10, 160) * 60_000 };
            let mut gap = quiet;
            if drawn.rng.chance(15) {
                actions.extend(drawn.grace_taken_away(std::mem::take(&mut gap)));
            }
            for _ in 0..drawn.rng.within(4, 40) {
                gap += match drawn.rng.below(6) {
                    0..=1 => drawn.rng.below(50),
                    2..=4 => drawn.rng.within(50, 1_500),
                    _ => drawn.rng.within(1_500, 9_000),
                };
                actions.push((std::mem::take(&mut gap), drawn.action()));
            }
        }
        let ending = if rng.chance(40) {
            Ending::Core { cut: rng.below(verifiers as u64) as usize, heard: rng.chance(50) }
        } else {
            Ending::Heals
        };
        Self { seed, verifiers, authority_rate, verifier_rates, delay_max, actions, ending }
    }

    pub(crate) const fn verifier_rate(&self, index: usize) -> u64 {
        self.verifier_rates[index % VERIFIERS]
    }

    pub(crate) const fn delay(&self, roll: u64) -> u64 {
        roll % (self.delay_max * MILLI)
    }
}

/// Each world has some kinds of faults more often than others, and some not at all.
struct Draw<'a> {
    rng: &'a mut Rng,
    verifiers: u64,
    weights: [u64; KINDS.len()],
    /// A clock that is set back hides a pause: no world has both, since nothing promises anything then.
    set_back: bool,
}

/// How often each kind is drawn where it is.
const KINDS: [(Kind, u64); 26] = [
    (Kind::Revoke, 14),
    (Kind::RevokeMany, 6),
    (Kind::Issue, 2),
    (Kind::IssueShort, 3),
    (Kind::FirstUse, 6),
    (Kind::Policy, 3),
    (Kind::RevokeOwn, 2),
    (Kind::Block, 5),
    (Kind::Break, 3),
    (Kind::Echo, 2),
    (Kind::Stop, 3),
    (Kind::Freeze, 3),
    (Kind::Slew, 3),
    (Kind::Step, 2),
    (Kind::Stall, 2),
    (Kind::Crash, 4),
    (Kind::Rot, 2),
    (Kind::Leave, 2),
    (Kind::Copy, 1),
    (Kind::Second, 1),
    (Kind::CopyFails, 1),
    (Kind::Disk, 1),
    (Kind::Cut, 2),
    (Kind::Backup, 1),
    (Kind::Restore, 1),
    (Kind::Forge, 1),
];

#[derive(Clone, Copy)]
enum Kind {
    Revoke,
    RevokeMany,
    Issue,
    IssueShort,
    FirstUse,
    Policy,
    RevokeOwn,
    Block,
    Break,
    Echo,
    Stop,
    Freeze,
    Slew,
    Step,
    Stall,
    Crash,
    Rot,
    Leave,
    Copy,
    Second,
    CopyFails,
    Disk,
    Cut,
    Backup,
    Restore,
    Forge,
}

impl<'a> Draw<'a> {
    fn new(rng: &'a mut Rng, verifiers: usize) -> Self {
        let mut weights = KINDS.map(|(_, weight)| match rng.below(4) {
            0 => 0,
            1 => weight * 3,
            _ => weight,
        });
        // Without an end of a token there is nothing to see.
        weights[0] = weights[0].max(8);
        let set_back = rng.chance(25);
        Self { rng, verifiers: verifiers as u64, weights, set_back }
    }

    fn verifier(&mut self) -> usize {
        self.rng.below(self.verifiers) as usize
    }

    fn process(&mut self) -> Option<usize> {
        if self.rng.chance(25) { None } else { Some(self.verifier()) }
    }

    fn short(&mut self) -> u64 {
        if self.rng.chance(33) { self.rng.within(1, 400) } else { self.rng.within(400, 3_000) }
    }

    fn span(&mut self) -> u64 {
        match self.rng.below(5) {
            0..=1 => self.short(),
            2..=3 => self.rng.within(3_000, 12_000),
            _ => self.rng.within(12_000, 40_000),
        }
    }

    /// Somebody is cut off while he may go on for long; then that is taken away, and the authority starts anew and revokes.
    fn grace_taken_away(&mut self, quiet: u64) -> [(u64, Action); 5] {
        let (verifier, namespace) = (self.verifier(), 1 + self.rng.below(NAMESPACES.len() as u64 - 1) as usize);
        [
            (quiet, Action::Policy { namespace, freshness: FRESHNESS.len() - 1 }),
            (3_000, Action::Block { verifier, up: true, down: true, span: 40_000 }),
            (100, Action::Policy { namespace, freshness: 0 }),
            (100, Action::Crash { process: None, span: 500 }),
            (1_000, Action::Revoke { namespace }),
        ]
    }

    fn action(&mut self) -> Action {
        let mut roll = self.rng.below(self.weights.iter().sum());
        let place = self.weights.iter().position(|weight| {
            let here = roll < *weight;
            roll = roll.saturating_sub(*weight);
            here
        });
        let kind = KINDS[place.unwrap_or_default()].0;
        let namespace = self.rng.below(NAMESPACES.len() as u64) as usize;
        let verifier = self.verifier();
        match kind {
            Kind::Revoke => Action::Revoke { namespace },
            Kind::RevokeMany => Action::RevokeMany { namespace, tokens: self.rng.within(2, 7) as usize },
            Kind::Issue => Action::Issue { namespace },
            Kind::IssueShort => Action::IssueShort { namespace, ttl: self.rng.within(10_000, 40_000) },
            Kind::FirstUse => Action::FirstUse { namespace, place: self.rng.next_u64() as usize },
            Kind::Policy => Action::Policy {
                namespace: 1 + self.rng.below(NAMESPACES.len() as u64 - 1) as usize,
                freshness: self.rng.below(FRESHNESS.len() as u64) as usize,
            },
            Kind::RevokeOwn => Action::RevokeOwn { verifier, another_after: self.short() },
            Kind::Block => {
                let (up, down) = [(true, false), (false, true), (true, true)][self.rng.below(3) as usize];
                Action::Block { verifier, up, down, span: self.span() }
            }
            Kind::Break => Action::Break { verifier },
            Kind::Echo => Action::Echo { verifier },
            Kind::Stop => Action::Stop { process: self.process(), span: self.span() },
            Kind::Freeze if !self.set_back => Action::Freeze { process: self.process(), span: self.span() },
            Kind::Slew | Kind::Freeze => {
                Action::Slew { process: self.process(), rate: self.rng.within(RATE_SLOWEST, RATE_FASTEST + 1) }
            }
            Kind::Step => {
                let millis = match self.rng.below(4) {
                    0 => self.rng.within(1, 250),
                    1 => self.rng.within(250, 5_000),
                    2 => self.rng.within(5_000, 3_600_000),
                    _ => 315_360_000_000,
                } as i64;
                let back = self.set_back && self.rng.chance(50);
                Action::Step { process: self.process(), millis: if back { -millis } else { millis } }
            }
            Kind::Stall => Action::Stall { verifier, span: self.span() },
            Kind::Crash => Action::Crash { process: self.process(), span: self.short() },
            Kind::Rot => {
                let how = [Rot::Lost, Rot::Added, Rot::Altered][self.rng.below(3) as usize];
                Action::Rot { verifier, row: self.rng.next_u64() as usize, how }
            }
            Kind::Leave => Action::Leave { verifier, span: self.short() },
            Kind::Copy => Action::Copy { disk: self.rng.chance(50) },
            Kind::Second => Action::Second,
            Kind::CopyFails => Action::CopyFails { verifier, torn: self.rng.chance(50) },
            Kind::Disk => Action::Disk { span: self.rng.within(100, 8_000) },
            Kind::Cut => Action::Cut { keep: self.rng.below(20_000) },
            Kind::Backup => Action::Backup,
            Kind::Restore => Action::Restore { span: self.rng.within(5_000, 30_000) },
            Kind::Forge => Action::Forge { verifier },
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
