//! The promises of the feed over random schedules: S1, S2, S3, S5, S8, S18, S21 and L1 of the project's list of properties.
//!
//! - S1: no verification that began its table read at or after the completion of a receipt accepts a token that it is
//!   about, and no stream of such a token is left.
//! - S2: no lease for a session below the floor of one of its namespaces.
//! - S3: a session that may answer without knowing a revocation is not counted out for it.
//! - S5: a session ends by succession only when its process is gone; a process that starts from a copy of another's replica,
//!   however old and whoever else has it, answers nothing before it is granted a lease of its own.
//! - S8: a record that does not fit into one frame is acknowledged whole; no snapshot is older than any part of it that
//!   was sent.
//! - S18: a durable receipt is never retracted, nor told with other evidence.
//! - S21: a record or a hello that shows a table to be wrong is noticed, and nothing is answered or acknowledged before
//!   there is a snapshot.
//! - L1: a receipt completes within 1 s + L_a + one poll of the authority's clock: 7.75 s where it is strict.

#![expect(clippy::unwrap_used, reason = "a test")]

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use jeton_sim::{Action, Flaw, Plan, RATE_FASTEST, RATE_SLOWEST, Rng, Sightings, VERIFIERS, plan, run};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_promises_hold(plan in plan()) {
        let result = run(&plan);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

/// The same plans every time.
fn plans(count: usize) -> impl Iterator<Item = Plan> {
    let mut runner = TestRunner::deterministic();
    let strategy = plan();
    (0..count).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

#[test]
fn everything_that_the_promises_are_about_happens() {
    let mut seen = Sightings::default();
    for plan in plans(60) {
        let one = run(&plan).unwrap();
        seen.strict_receipt_max = seen.strict_receipt_max.max(one.strict_receipt_max);
        seen.receipts += one.receipts;
        seen.acked += one.acked;
        seen.goodbye += one.goodbye;
        seen.succeeded += one.succeeded;
        seen.tombstones += one.tombstones;
        seen.fenced += one.fenced;
        seen.fences_taken_back += one.fences_taken_back;
        seen.grants += one.grants;
        seen.answers_live += one.answers_live;
        seen.answers_in_grace += one.answers_in_grace;
        seen.stale += one.stale;
        seen.jumps += one.jumps;
        seen.starts += one.starts;
        seen.ended_streams += one.ended_streams;
        seen.rotten += one.rotten;
        seen.mistrusted += one.mistrusted;
        seen.parts += one.parts;
        seen.halves += one.halves;
        seen.copies += one.copies;
        seen.warm += one.warm;
        seen.warm_grants += one.warm_grants;
    }
    println!("{seen:?}");
    let counts = [
        seen.receipts,
        seen.acked,
        seen.goodbye,
        seen.succeeded,
        seen.tombstones,
        seen.fenced,
        seen.fences_taken_back,
        seen.grants,
        seen.answers_live,
        seen.answers_in_grace,
        seen.stale,
        seen.jumps,
        seen.starts,
        seen.ended_streams,
        seen.rotten,
        seen.mistrusted,
        seen.parts,
        seen.halves,
        seen.copies,
        seen.warm,
        seen.warm_grants,
    ];
    assert!(counts.iter().all(|count| *count > 0), "{seen:?}");
}

/// A verifier is heard and does not hear: it renews on and acknowledges nothing. How long after that the revocation comes
/// decides how late its last lease is.
#[test]
fn the_strict_bound_is_nearly_reached() {
    let took = (0..17_u64).map(|tenths| {
        let actions = vec![
            (3_000, Action::Block { verifier: 1, up: false, down: true, span: 20_000 }),
            (tenths * 100, Action::Revoke { namespace: 0 }),
        ];
        run(&Plan { actions, delay_max: 5, ..plans(1).next().unwrap() }).unwrap().strict_receipt_max
    });
    let longest = took.max().unwrap();
    assert!((7_250..=7_500).contains(&longest), "{longest} ms");
}

#[test]
fn the_same_plan_gives_the_same_world() {
    for plan in plans(3) {
        assert_eq!(run(&plan), run(&plan));
    }
}

/// A policy that is changed to and fro all the while, as verifiers are cut off one way, the other, or both, and heal; with
/// revocations in between. What is known of D on the two sides is then as different as it can be.
fn to_and_fro(seed: u64, changes: usize) -> Plan {
    let mut rng = Rng(seed);
    let mut rate = || 900_000 + rng.below(3) * 100_000;
    let (authority_rate, verifier_rates) = (rate(), [(); VERIFIERS].map(|()| rate()));
    let delay_max = 1 + rng.below(400);
    let mut actions = Vec::new();
    for change in 0..changes {
        // Long and short by turns.
        let freshness = if change % 2 == 0 { 2 + rng.below(2) as usize } else { rng.below(2) as usize };
        let namespace = 1 + rng.below(2) as usize;
        actions.push((rng.below(1_500), Action::Policy { namespace, freshness }));
        if rng.chance(40) {
            let (verifier, span) = (rng.below(4) as usize, 200 + rng.below(25_000));
            let (up, down) = [(true, false), (false, true), (true, true)][rng.below(3) as usize];
            actions.push((rng.below(300), Action::Block { verifier, up, down, span }));
            if rng.chance(50) {
                // What it says is lost before what it hears is.
                actions.push((rng.below(900), Action::Block { verifier, up: true, down: true, span }));
            }
        }
        if rng.chance(60) {
            actions.push((rng.below(300), Action::Revoke { namespace }));
            actions.push((0, Action::Issue { namespace }));
        }
        if rng.chance(2) {
            actions.push((rng.below(300), Action::Crash { process: None, span: 100 + rng.below(2_000) }));
        }
    }
    Plan { seed, authority_rate, verifier_rates, delay_max, actions, flaw: None }
}

/// 500 changes of policy in each of several worlds: no verifier accepts what a complete receipt has ended.
#[test]
fn a_policy_may_change_to_and_fro() {
    for seed in 1..=4 {
        let plan = to_and_fro(seed, 500);
        let seen = run(&plan).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        println!("seed {seed}: {seen:?}");
        assert!(seen.receipts >= 200 && seen.fenced >= 20 && seen.fences_taken_back > 0, "seed {seed}: {seen:?}");
        assert!(seen.answers_in_grace >= 1_000 && seen.answers_live >= 1_000, "seed {seed}: {seen:?}");
        assert!(seen.stale >= 1_000 && seen.starts >= 2, "seed {seed}: {seen:?}");
    }
}

/// A verifier of the namespace with the longest grace is cut off; then the grace is taken away, and the authority starts
/// anew and revokes.
fn grace_taken_away() -> Plan {
    let verifier = 3;
    let actions = vec![
        (0, Action::Block { verifier, up: true, down: true, span: 40_000 }),
        (100, Action::Policy { namespace: 2, freshness: 0 }),
        (100, Action::Crash { process: None, span: 500 }),
        (1_000, Action::Revoke { namespace: 2 }),
    ];
    Plan { actions, delay_max: 5, ..plans(1).next().unwrap() }
}

/// A verifier with a slow clock on a slow network is cut off at some moment after a grant.
fn cut_off_after_a_late_grant() -> impl Iterator<Item = Plan> {
    (0..40_u64).map(|number| {
        let actions = vec![
            (3_000 + 61 * number, Action::Block { verifier: 1, up: true, down: true, span: 20_000 }),
            (10, Action::Revoke { namespace: 0 }),
        ];
        Plan {
            seed: number,
            authority_rate: RATE_FASTEST,
            verifier_rates: [RATE_SLOWEST; VERIFIERS],
            delay_max: 800,
            actions,
            flaw: None,
        }
    })
}

/// A verifier's stream breaks while it is sent a record in frames.
fn broken_in_a_record() -> impl Iterator<Item = Plan> {
    (0..20_u64).map(|number| {
        let actions = vec![
            (3_000, Action::RevokeMany { namespace: 1, tokens: 6 }),
            (300 + 53 * number, Action::Break { verifier: 2 }),
            (1_000, Action::Break { verifier: 3 }),
        ];
        Plan { seed: number, actions, delay_max: 5, ..plans(1).next().unwrap() }
    })
}

/// The twin of a verifier is started beside it: on a copy of its folder, and in the folder itself.
fn twins() -> impl Iterator<Item = Plan> {
    [Action::Copy { disk: false }, Action::Copy { disk: true }, Action::Second].into_iter().map(|action| {
        let actions = vec![(2_000, action), (3_000, Action::Revoke { namespace: 0 })];
        Plan { actions, delay_max: 5, ..plans(1).next().unwrap() }
    })
}

#[test]
fn every_flaw_is_noticed() {
    let written = || {
        std::iter::once(grace_taken_away())
            .chain(cut_off_after_a_late_grant())
            .chain(twins())
            .chain(broken_in_a_record())
    };
    for plan in written() {
        assert_eq!(run(&plan).err(), None, "{plan:?}");
    }
    for flaw in Flaw::ALL {
        let found = written()
            .chain(plans(400))
            .map(|plan| Plan { flaw: Some(flaw), ..plan })
            .enumerate()
            .find_map(|(number, plan)| run(&plan).err().map(|violation| (number, violation)));
        let Some((number, violation)) = found else { panic!("{flaw:?} was not noticed") };
        println!("{flaw:?}: plan {number}: {violation}");
    }
}
