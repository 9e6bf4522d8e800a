//! What may happen, in any order.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use jeton_feed::{numbers::LEASE, record::Change, replica::Replica as _, verifier::Input};
use jeton_types::Freshness;
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use super::{
    Verification, Which, World,
    model::{Authority, Flaw},
};
use crate::{
    Outcome, Required,
    tests::{acme, hooked, policy},
};

/// Each has a number of one byte of its own; few enough that they are met again.
const TOKENS_MAX: usize = 24;

#[derive(Debug, Clone)]
enum Move {
    Issue {
        expires_in_millis: Option<u64>,
    },
    Revoke(usize),
    Deadline(usize),
    Policy(u64),
    CommitElsewhere,
    /// What may go is collected, after so many seconds.
    Collect(u64),
    LogCut {
        slow: bool,
    },
    Heartbeat,
    Up(usize),
    Down(usize),
    Cut {
        told: bool,
    },
    Dial,
    Advance {
        millis: u64,
        tick: bool,
    },
    Suspend(u64),
    Look {
        which: usize,
        before: Meanwhile,
        after: Meanwhile,
    },
    Release(usize),
    Ask,
    Healthy,
    Leave,
}

/// What happens within a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meanwhile {
    pub(super) millis: u64,
    pub(super) up: usize,
    pub(super) down: usize,
}

/// A look that is interrupted before and after its read of the table; borrows the world only in between.
fn look(world: &Rc<RefCell<World>>, mut verification: Verification, before: Meanwhile, after: Meanwhile) {
    let (text, replica, now) = {
        let world = world.borrow();
        (world.text(verification.which), Arc::clone(&world.replica), world.now)
    };
    verification.lease = replica.lease();
    let dead = Rc::new(RefCell::new(world.borrow().dead(verification.which)));
    let first = {
        let (world, dead, which) = (Rc::clone(world), Rc::clone(&dead), verification.which);
        move || {
            world.borrow_mut().meanwhile(before);
            *dead.borrow_mut() = world.borrow().dead(which);
        }
    };
    let second = {
        let world = Rc::clone(world);
        move || world.borrow_mut().meanwhile(after)
    };
    hooked::around_next_find(first, second);
    let looked = replica.look(&text, now);
    hooked::clear();
    let looked = looked.unwrap();
    verification.freshness = looked.freshness;
    verification.dead = *dead.borrow();
    let looked = if let Some(caught_up) = verification.caught_up { looked.caught_up(caught_up) } else { looked };
    verification.computed = Some(looked.compute(&Required::default(), None));
    world.borrow_mut().running.push(verification);
}

/// Takes one running verification a step further.
fn release(world: &Rc<RefCell<World>>, which: usize) -> Result<(), TestCaseError> {
    let quiet = Meanwhile { millis: 0, up: 0, down: 0 };
    let mut inner = world.borrow_mut();
    let Some(which) = which.checked_rem(inner.running.len()) else { return Ok(()) };
    let mut verification = inner.running.swap_remove(which);
    match verification.computed.take() {
        Some(computed) => {
            let outcome = computed.release(inner.now, &*Arc::clone(&inner.replica));
            inner.released(verification, outcome)
        }
        None => {
            drop(inner);
            look(world, verification, quiet, quiet);
            Ok(())
        }
    }
}

fn begin(world: &Rc<RefCell<World>>, which: Which, before: Meanwhile, after: Meanwhile) {
    let verification = {
        let world = world.borrow();
        Verification {
            which,
            computed: None,
            caught_up: None,
            issued: matches!(which, Which::Token(_)),
            dead: false,
            revoked: matches!(which, Which::Token(which) if world.seen_revoked.contains(&which)),
            lease: None,
            freshness: Freshness::Strict,
        }
    };
    look(world, verification, before, after);
}

fn perform(world: &Rc<RefCell<World>>, each: Move) -> Result<(), TestCaseError> {
    match each {
        Move::Look { which, before, after } => {
            let which = world.borrow().which(which);
            begin(world, which, before, after);
            return Ok(());
        }
        Move::Release(which) => return release(world, which),
        _ => {}
    }
    let mut world = world.borrow_mut();
    match each {
        Move::Issue { expires_in_millis } => {
            if world.tokens.len() < TOKENS_MAX {
                world.issue(expires_in_millis);
            }
        }
        Move::Revoke(which) => world.revoke(which),
        Move::Deadline(which) => world.deadline(which),
        Move::Policy(grace_secs) => {
            let now = world.authority_now();
            world.authority.commit(now, vec![Change::Policy(policy(grace_secs))], false);
        }
        Move::Collect(seconds) => {
            world.advance(seconds * 1_000);
            world.collect();
        }
        Move::LogCut { slow } => {
            let now = world.authority_now();
            world.authority.log_cut(now, slow);
        }
        Move::CommitElsewhere => world.authority.commit_elsewhere(),
        Move::Heartbeat => {
            let now = world.authority_now();
            world.authority.heartbeat(now);
        }
        Move::Up(count) => world.up(count),
        Move::Down(count) => world.down(count),
        Move::Cut { told } => world.cut(told),
        Move::Dial => world.dial(),
        Move::Advance { millis, tick } => {
            world.advance(millis);
            if tick {
                world.tick();
            }
        }
        Move::Suspend(millis) => {
            // The world and the wall clock go on, this machine's boot clock does not.
            let span = Duration::from_millis(millis);
            world.time += span;
            world.now.real = world.now.real.plus(span);
            world.settle();
        }
        Move::Ask => world.ask(),
        Move::Healthy => world.healthy(),
        Move::Leave => {
            world.left = true;
            world.input(Input::Leave);
        }
        Move::Look { .. } | Move::Release(_) => {}
    }
    Ok(())
}

/// L3 in small: a while after the faults have stopped, every answer is the right one.
fn heal(world: &Rc<RefCell<World>>) -> Result<(), TestCaseError> {
    {
        let mut world = world.borrow_mut();
        world.running.clear();
        world.cut(false);
        world.input(Input::Disconnected);
        for _ in 0..8 {
            world.advance(250);
            world.tick();
            let now = world.authority_now();
            world.authority.heartbeat(now);
            world.healthy();
        }
    }
    let now = world.borrow().now;
    prop_assert!(world.borrow().left || world.borrow().replica.ready(now), "not healed");
    let quiet = Meanwhile { millis: 0, up: 0, down: 0 };
    let tokens = world.borrow().tokens.len();
    for which in 0..tokens {
        begin(world, Which::Token(which), quiet, quiet);
        let verification = world.borrow_mut().running.pop().unwrap();
        let world = world.borrow();
        let outcome = verification.computed.unwrap().release(now, &*world.replica);
        let time = Authority::time(world.authority_now());
        let expected = match (world.left, world.ended.contains_key(&which), world.expiry.get(&which)) {
            (true, ..) => "stale",
            _ if world.collected.contains(&which) => "unknown",
            (false, true, _) => "revoked",
            (false, false, Some(at)) if *at <= time => "expired",
            // Early by at most a quarter of the time since the grant's request, and drift.
            (false, false, Some(at)) if *at <= time.plus(LEASE) => continue,
            _ => "valid",
        };
        let found = if let Outcome::Answer(verdict) = outcome { verdict.code().as_str() } else { "stale" };
        prop_assert_eq!(found, expected, "token {} after healing", which);
    }
    let world = world.borrow();
    if !world.left {
        // Whatever it came from, the state is that of the authority, to the last row.
        let found = world.replica.set_hashes(&[acme()]);
        prop_assert_eq!(found, Ok(vec![world.authority.set_hash()]), "something was skipped");
    }
    Ok(())
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        3 => Just(Meanwhile { millis: 0, up: 0, down: 0 }),
        2 => (prop_oneof![Just(0_u64), Just(400), Just(7_000)], 0..9_usize, 0..9_usize)
            .prop_map(|(millis, up, down)| Meanwhile { millis, up, down }),
    ]
}

fn any_move() -> impl Strategy<Value = Move> {
    let millis = prop_oneof![Just(1_u64), Just(60), Just(300), Just(1_100), Just(1_700), Just(4_900), Just(8_000)];
    prop_oneof![
        5 => proptest::option::weighted(0.2, 10_000..20_000_u64)
            .prop_map(|expires_in_millis| Move::Issue { expires_in_millis }),
        4 => any::<usize>().prop_map(Move::Revoke),
        1 => any::<usize>().prop_map(Move::Deadline),
        2 => prop_oneof![Just(0_u64), Just(3), Just(12)].prop_map(Move::Policy),
        2 => Just(Move::CommitElsewhere),
        3 => prop_oneof![3 => Just(0_u64), 1 => Just(10), 1 => Just(30)].prop_map(Move::Collect),
        3 => any::<bool>().prop_map(|slow| Move::LogCut { slow }),
        4 => Just(Move::Heartbeat),
        6 => (1..5_usize).prop_map(Move::Up),
        6 => (1..5_usize).prop_map(Move::Down),
        2 => any::<bool>().prop_map(|told| Move::Cut { told }),
        3 => Just(Move::Dial),
        8 => (millis, any::<bool>()).prop_map(|(millis, tick)| Move::Advance { millis, tick }),
        1 => prop_oneof![Just(200_u64), Just(9_000)].prop_map(Move::Suspend),
        12 => (any::<usize>(), meanwhile(), meanwhile())
            .prop_map(|(which, before, after)| Move::Look { which, before, after }),
        14 => any::<usize>().prop_map(Move::Release),
        3 => Just(Move::Ask),
        8 => Just(Move::Healthy),
    ]
}

fn run(
    rates: (u32, u32),
    grace_secs: u64,
    moves: Vec<Move>,
    leave: bool,
    flaw: Option<Flaw>,
) -> Result<Seen, TestCaseError> {
    let world = Rc::new(RefCell::new(World::new(rates, grace_secs)));
    world.borrow_mut().authority.flaw = flaw;
    let leave_at = if leave { moves.len() / 2 } else { usize::MAX };
    for (place, each) in moves.into_iter().enumerate() {
        if place == leave_at {
            perform(&world, Move::Leave)?;
        }
        perform(&world, each)?;
        world.borrow().contained()?;
    }
    heal(&world)?;
    let world = world.borrow();
    Ok(Seen { collected: world.collected.len(), overtaken: world.authority.overtaken })
}

/// What a run was about.
struct Seen {
    collected: usize,
    overtaken: usize,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_promises_hold(
        rates in (9..=11_u32, 9..=11_u32),
        grace_secs in prop_oneof![Just(0_u64), Just(12)],
        moves in proptest::collection::vec(any_move(), 20..250),
        leave in proptest::bool::weighted(0.1),
    ) {
        run(rates, grace_secs, moves, leave, None)?;
    }
}

/// The same schedules every time, without anybody who leaves.
fn schedules(count: usize) -> impl Iterator<Item = ((u32, u32), u64, Vec<Move>)> {
    let mut runner = TestRunner::deterministic();
    let grace_secs = prop_oneof![Just(0_u64), Just(12)];
    let strategy = ((9..=11_u32, 9..=11_u32), grace_secs, proptest::collection::vec(any_move(), 100..250));
    (0..count).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

#[test]
fn tokens_are_collected_and_the_log_is_cut_under_them() {
    let (mut collected, mut overtaken) = (0, 0);
    for (rates, grace_secs, moves) in schedules(60) {
        let seen = run(rates, grace_secs, moves, false, None).unwrap();
        collected += seen.collected;
        overtaken += seen.overtaken;
    }
    println!("{collected} tokens collected, {overtaken} streams overtaken");
    assert!(collected > 50 && overtaken > 20, "{collected} {overtaken}");
}

#[test]
fn every_flaw_is_noticed() {
    for flaw in [Flaw::TombstoneDroppedEarly, Flaw::GapSkip] {
        let found =
            schedules(60).find_map(|(rates, grace_secs, moves)| run(rates, grace_secs, moves, false, Some(flaw)).err());
        let Some(violation) = found else { panic!("{flaw:?} was not noticed") };
        println!("{flaw:?}: {violation}");
    }
}
