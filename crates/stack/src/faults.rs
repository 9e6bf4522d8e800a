//! What goes wrong, drawn from the seed. One thing at a time for each link and each host; everything ends by itself.

use std::time::Duration;

use jeton_testkit::Dice;
use turmoil::Sim;

use crate::world::{AUTHORITY, CLIENT, Phase, Stage};

/// What goes wrong, and when it ends.
pub(crate) struct Faults {
    dice: Dice,
    next: Duration,
    going: Vec<Going>,
}

struct Going {
    until: Duration,
    what: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// Nothing passes between these two.
    Cut(String, String),
    /// Nothing passes from the first to the second.
    CutOneWay(String, String),
    /// What is sent between these two waits.
    Held(String, String),
    /// What is sent between these two takes long.
    Slow(String, String),
    /// The host is down.
    Down(usize),
    /// The process was asked to stop, and starts again.
    Left(usize),
    /// The authority's disk does not sync.
    Stalled,
}

impl Fault {
    /// What no second fault may touch meanwhile.
    fn place(&self) -> (&str, &str) {
        match self {
            Self::Cut(a, b) | Self::Held(a, b) | Self::Slow(a, b) | Self::CutOneWay(a, b) => {
                if a < b {
                    (a, b)
                } else {
                    (b, a)
                }
            }
            Self::Down(_) | Self::Left(_) | Self::Stalled => ("", ""),
        }
    }

    fn host(&self) -> Option<usize> {
        match self {
            Self::Down(host) | Self::Left(host) => Some(*host),
            _ => None,
        }
    }

    fn meets(&self, other: &Self) -> bool {
        match (self.host(), other.host()) {
            (Some(mine), Some(other)) => mine == other,
            (None, None) => self.place() == other.place(),
            _ => false,
        }
    }
}

impl Faults {
    pub(crate) fn new(dice: Dice) -> Self {
        Self { dice, next: Duration::ZERO, going: Vec::new() }
    }

    /// Once after each step of the simulation.
    pub(crate) fn step(&mut self, sim: &mut Sim<'_>, stage: &Stage) {
        let now = sim.elapsed();
        let healing = stage.phase.get() == Phase::Healing;
        let (mut still, mut pulled) = (Vec::new(), false);
        for going in std::mem::take(&mut self.going) {
            if (!healing && now < going.until) || !end(&going.what, sim, stage) {
                still.push(going);
                continue;
            }
            stage.history.borrow_mut().note(now, format!("fault over {:?}", going.what));
            pulled |= going.what == Fault::Stalled && !healing && self.dice.below(3) > 0;
        }
        self.going = still;
        if pulled {
            // The machine goes down while its disk owes the most.
            self.add(Fault::Down(0), 7_000, sim, stage);
        }
        stage.stalled.set(self.going.iter().any(|going| going.what == Fault::Stalled));
        match stage.phase.get() {
            Phase::Healing if self.going.is_empty() => stage.phase.set(Phase::Healed),
            Phase::Faults if now >= self.next => {
                self.next = now + self.dice.between(Duration::from_millis(200), Duration::from_secs(5));
                self.one(sim, stage);
            }
            _ => {}
        }
    }

    fn one(&mut self, sim: &mut Sim<'_>, stage: &Stage) {
        let now = sim.elapsed();
        let edge = 1 + self.dice.below(stage.sidecars().len());
        // Mostly the feed is hit: that is where the promises are.
        let other = if self.dice.below(4) == 0 { CLIENT.to_owned() } else { stage.hosts[edge].name.clone() };
        let (a, b) = (AUTHORITY.to_owned(), other);
        let host = if self.dice.below(2) == 0 { 0 } else { edge };
        let (longest, what) = match self.dice.below(12) {
            0 | 1 => (14_000, Fault::Cut(a, b)),
            2 => (14_000, Fault::CutOneWay(a, b)),
            3 => (14_000, Fault::CutOneWay(b, a)),
            4 => (6_000, Fault::Held(a, b)),
            5 => (8_000, Fault::Slow(a, b)),
            6..=8 => (7_000, Fault::Down(host)),
            9 => (3_000, Fault::Left(host)),
            10 => (3_000, Fault::Stalled),
            _ => {
                let by = i64::try_from(self.dice.below(40_000)).unwrap_or(0) - 20_000;
                let machine = &stage.hosts[edge];
                machine.clock.set_wall(by);
                let mut history = stage.history.borrow_mut();
                history.counts.faults += 1;
                history.note(now, format!("fault wall clock of {} set by {by} ms", machine.name));
                return;
            }
        };
        self.add(what, longest, sim, stage);
    }

    fn add(&mut self, what: Fault, longest: u64, sim: &mut Sim<'_>, stage: &Stage) {
        let now = sim.elapsed();
        let until = now + self.dice.between(Duration::from_millis(100), Duration::from_millis(longest));
        if self.going.iter().any(|going| going.what.meets(&what)) {
            return;
        }
        let line = format!("fault {what:?} until {:.3} s", until.as_secs_f64());
        stage.history.borrow_mut().note(now, line);
        self.begin(&what, sim, stage);
        stage.history.borrow_mut().counts.faults += 1;
        self.going.push(Going { until, what });
    }

    fn begin(&mut self, what: &Fault, sim: &mut Sim<'_>, stage: &Stage) {
        match what {
            Fault::Cut(a, b) => sim.partition(a.as_str(), b.as_str()),
            Fault::CutOneWay(from, to) => sim.partition_oneway(from.as_str(), to.as_str()),
            Fault::Held(a, b) => sim.hold(a.as_str(), b.as_str()),
            Fault::Slow(a, b) => {
                let latency = self.dice.between(Duration::from_millis(100), Duration::from_millis(900));
                sim.set_link_latency(a.as_str(), b.as_str(), latency);
            }
            Fault::Down(host) => {
                sim.crash(stage.hosts[*host].name.as_str());
                let mut history = stage.history.borrow_mut();
                history.counts.crashes += 1;
                if *host == 0 {
                    let lost = stage.disk.crash(|count| self.dice.below(count + 1));
                    history.counts.lost_unsynced += lost as u64;
                    history.note(sim.elapsed(), format!("fault {lost} written mutations lost"));
                }
            }
            // A permit stays if nobody waits for it yet: then the process leaves as soon as it has begun.
            Fault::Left(host) => stage.hosts[*host].leave.notify_one(),
            Fault::Stalled => stage.stalled.set(true),
        }
    }
}

/// False if it cannot be ended yet.
fn end(what: &Fault, sim: &mut Sim<'_>, stage: &Stage) -> bool {
    match what {
        Fault::Cut(a, b) => sim.repair(a.as_str(), b.as_str()),
        Fault::CutOneWay(from, to) => sim.repair_oneway(from.as_str(), to.as_str()),
        Fault::Held(a, b) => sim.release(a.as_str(), b.as_str()),
        Fault::Slow(a, b) => sim.set_link_latency(a.as_str(), b.as_str(), Duration::from_millis(5)),
        Fault::Down(host) => sim.bounce(stage.hosts[*host].name.as_str()),
        Fault::Left(host) => {
            let name = stage.hosts[*host].name.as_str();
            if sim.is_host_running(name) {
                return false;
            }
            sim.bounce(name);
        }
        // Its disk syncs once the last of these is over.
        Fault::Stalled => {}
    }
    true
}
