//! The promises of the feed in worlds that shrink, and in a few that are written down: quick enough for the inner loop, and for
//! mutants of the machines (`cargo mutants --test-package jeton-sim`).
//!
//! - S1: no verification that began its table read at or after the completion of a receipt accepts a token that it is
//!   about, and no stream of such a token is left.
//! - S2: no lease for a session below the floor of one of its namespaces.
//! - S3: a session that may answer without knowing a revocation is not counted out for it.
//! - S5: a session ends by succession only when its process is gone; a process that starts from a copy of another's replica,
//!   however old and whoever else has it, answers nothing before it is granted a lease of its own.
//! - S8: a record that does not fit into one frame is acknowledged whole; no snapshot is older than any part of it that
//!   was sent.
//! - S9, S10, S14: no token that was issued is unknown, none that lives is revoked, none that has expired is good.
//! - S18: a durable receipt is never retracted, nor told with other evidence.
//! - S20: data that were put back are noticed by what a verifier has seen, and nothing else is taken for that.
//! - S21: a record or a hello that shows a table to be wrong is noticed, and nothing is answered or acknowledged before
//!   there is a snapshot.
//! - L1: a receipt completes within 1 s + L_a + one poll of the authority's clock: 7.75 s where it is strict. L2, L3: a core that
//!   heals is live again beside a verifier that is cut off one way, and a receipt there costs one push and one acknowledgement.

use jeton_sim::{Action, Ending, Outcome, Plan, RATE_FASTEST, RATE_SLOWEST, Rng, VERIFIERS, run};
use proptest::prelude::*;

fn holds(plan: &Plan) -> Outcome {
    let outcome = run(plan, false);
    assert_eq!(outcome.violation, None, "{plan:?}");
    outcome
}

/// A world of one burst: what a seed draws, without the hours in between, and as many of its actions as are kept.
fn burst() -> impl Strategy<Value = Plan> {
    (any::<u64>(), prop::collection::vec(any::<bool>(), 40)).prop_map(|(seed, keep)| {
        let mut plan = Plan::draw(seed);
        plan.actions.truncate(keep.len());
        plan.actions.iter_mut().for_each(|(gap, _)| *gap = (*gap).min(9_000));
        let mut kept = keep.into_iter();
        plan.actions.retain(|_| kept.next() != Some(false));
        plan
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_promises_hold(plan in burst()) {
        let outcome = run(&plan, false);
        prop_assert!(outcome.violation.is_none(), "{:?}", outcome.violation);
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for seed in 0..3 {
        let plan = Plan::draw(seed);
        let plan = Plan { actions: plan.actions.into_iter().take(12).collect(), ..plan };
        let (one, other) = (run(&plan, false), run(&plan, true));
        assert_eq!(one.trace.hash(), other.trace.hash(), "seed {seed}");
        assert_eq!(one.seen, other.seen, "seed {seed}");
        assert_ne!(one.trace.hash(), run(&Plan { seed: seed + 1, ..plan }, false).trace.hash());
    }
}

fn quiet(seed: u64, actions: Vec<(u64, Action)>) -> Plan {
    Plan {
        seed,
        verifiers: VERIFIERS,
        authority_rate: RATE_FASTEST,
        verifier_rates: [1_000_000; VERIFIERS],
        delay_max: 5,
        actions,
        ending: Ending::Heals,
    }
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
        holds(&quiet(1, actions)).seen.strict_receipt_max
    });
    let longest = took.max().unwrap();
    assert!((7_250..=7_500).contains(&longest), "{longest} ms");
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
    Plan { authority_rate, verifier_rates, delay_max, ..quiet(seed, actions) }
}

/// 100 changes of policy in each of two worlds: no verifier accepts what a complete receipt has ended.
#[test]
fn a_policy_may_change_to_and_fro() {
    for seed in 1..=2 {
        let seen = holds(&to_and_fro(seed, 100)).seen;
        println!("seed {seed}: {seen:?}");
        assert!(seen.receipts >= 30 && seen.fenced >= 5, "seed {seed}: {seen:?}");
        assert!(seen.answers_in_grace >= 100 && seen.answers_live >= 1_000, "seed {seed}: {seen:?}");
    }
}

/// A verifier with a slow clock on a slow network is cut off at some moment after a grant.
#[test]
fn who_is_cut_off_after_a_late_grant_accepts_nothing_too_late() {
    for number in 0..10_u64 {
        let actions = vec![
            (3_000 + 61 * number, Action::Block { verifier: 1, up: true, down: true, span: 20_000 }),
            (10, Action::Revoke { namespace: 0 }),
        ];
        let plan = quiet(number, actions);
        let seen = holds(&Plan { verifier_rates: [RATE_SLOWEST; VERIFIERS], delay_max: 800, ..plan }).seen;
        assert_eq!(seen.receipts, 1, "{seen:?}");
    }
}

/// L7: a crowd reconnects at once, and nobody misses a lease.
#[test]
fn a_crowd_that_reconnects_at_once_misses_no_lease() {
    let before = holds(&Plan { verifiers: 60, ..quiet(1, vec![(3_000, Action::Revoke { namespace: 0 })]) });
    let crash = vec![(3_000, Action::Crash { process: None, span: 400 }), (200, Action::Issue { namespace: 0 })];
    let after = holds(&Plan { verifiers: 60, ..quiet(1, crash) });
    // What is stale is so before the first lease, in both.
    assert!(after.seen.stale <= before.seen.stale, "{} and {}", before.seen.stale, after.seen.stale);
    assert_eq!(after.seen.starts, 2);
}
