//! Whatever comes in, in whatever order: what may never be broken.

use std::{collections::HashSet, time::Duration};

use jeton_types::{BootTime, Revision};
use proptest::prelude::*;

use super::{Bench, book::Entry, grant, head, heartbeat, policy, record, revision, welcome};
use crate::{
    lease::Void,
    message::{Refusal, Refused, SnapshotPart, ToAuthority, ToVerifier},
    numbers::JUMP_MAX,
    record::Change,
    replica::Replica as _,
    verifier::{Effect, Input},
};

#[derive(Debug, Clone)]
enum Move {
    Input(Input),
    /// A good next record, or a heartbeat, of the log as the test knows it.
    Follow(bool),
    /// The stream opens and is welcomed, with a snapshot or a resumption, as a good authority would.
    Open,
    Grant(u64),
    Wait(u64),
    Jump(u64),
    VoidElsewhere,
}

fn message() -> impl Strategy<Value = ToVerifier> {
    let at = 0..60_u64;
    let namespace = prop_oneof![Just("acme"), Just("zeta")];
    prop_oneof![
        (proptest::option::of(at.clone()), at.clone()).prop_map(|(resume, at)| welcome(resume, at)),
        at.clone().prop_map(|at| ToVerifier::SnapshotBegin { at: revision(at) }),
        namespace.prop_map(|name| ToVerifier::SnapshotRows(SnapshotPart {
            namespace: name.parse().unwrap(),
            policy: policy(),
            rows: Vec::new(),
            set_hash: None
        })),
        at.clone().prop_map(|at| ToVerifier::SnapshotEnd { at: revision(at) }),
        (at.clone(), at.clone()).prop_map(|(before, at)| record(before, at, Vec::new())),
        at.clone().prop_map(|at| record(0, at, vec![Change::Unknown { kind: 1, needs_protocol: 2 }])),
        at.clone().prop_map(heartbeat),
        (at.clone(), at).prop_map(|(request, at)| ToVerifier::Watermark { request, watermark: revision(at) }),
        Just(ToVerifier::End { reason: String::new() }),
        Just(ToVerifier::Ended),
        Just(ToVerifier::Refused(Refused { why: Refusal::Unavailable, message: String::new() })),
    ]
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        2 => message().prop_map(|message| Move::Input(Input::Message(message))),
        2 => prop_oneof![
            10 => Just(Input::Connected),
            10 => Just(Input::Disconnected),
            20 => Just(Input::AskWatermark),
            4 => Just(Input::JumpSeen),
            4 => Just(Input::TokenChanged),
            1 => Just(Input::Leave),
        ].prop_map(Move::Input),
        6 => any::<bool>().prop_map(Move::Follow),
        6 => Just(Move::Open),
        6 => (0..6_u64).prop_map(Move::Grant),
        6 => (0..2_500_u64).prop_map(Move::Wait),
        1 => (0..600_u64).prop_map(Move::Jump),
        1 => Just(Move::VoidElsewhere),
    ]
}

/// What has been seen of the session so far.
#[derive(Default)]
struct Seen {
    connecting: bool,
    open: bool,
    epoch: u64,
    numbers: HashSet<u64>,
    entries: usize,
    over: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_rules_hold(moves in proptest::collection::vec(any_move(), 1..120)) {
        let mut bench = Bench::new();
        let mut seen = Seen::default();
        let first = bench.input(Input::Tick);
        check(&bench, &mut seen, None, &first)?;
        for each in moves {
            let known = bench.replica.watermark().get();
            let inputs = match each {
                Move::Input(input) => vec![input],
                Move::Follow(true) => vec![Input::Message(record(known, known + 1, Vec::new()))],
                Move::Follow(false) => vec![Input::Message(heartbeat(known + 2))],
                Move::Open => {
                    let at = revision(known);
                    let snapshot = [ToVerifier::SnapshotBegin { at }, ToVerifier::SnapshotEnd { at }];
                    let whole = bench.session.whole;
                    let mut inputs = vec![Input::Connected];
                    inputs.push(Input::Message(welcome(whole.then_some(known), head(known).revision.get())));
                    inputs.extend(snapshot.into_iter().filter(|_| !whole).map(Input::Message));
                    inputs
                }
                Move::Grant(back) => vec![Input::Message(grant(bench.session.requests.saturating_sub(back)))],
                Move::Wait(millis) => {
                    bench.now = bench.now.plus(Duration::from_millis(millis));
                    vec![Input::Tick]
                }
                Move::Jump(millis) => {
                    bench.now.real = bench.now.real.plus(Duration::from_millis(millis));
                    Vec::new()
                }
                Move::VoidElsewhere => {
                    bench.replica.lease_void(Void::Jump);
                    Vec::new()
                }
            };
            for input in inputs {
                if input == Input::Disconnected {
                    seen.open = false;
                }
                let effects = bench.input(input.clone());
                check(&bench, &mut seen, Some(&input), &effects)?;
            }
        }
    }
}

fn check(bench: &Bench, seen: &mut Seen, input: Option<&Input>, effects: &[Effect]) -> Result<(), TestCaseError> {
    let log = bench.replica.log();
    let new = &log[std::mem::replace(&mut seen.entries, log.len())..];
    // The last thing that became visible, at the most, is acknowledged.
    let visible = log.iter().rev().find_map(|entry| match entry {
        Entry::Applied(at) | Entry::SnapshotEnd(at) => Some(*at),
        _ => None,
    });
    if seen.over {
        prop_assert!(effects.iter().all(|effect| *effect == Effect::AsksFailed), "after the end: {effects:?}");
        return Ok(());
    }
    for effect in effects {
        match effect {
            Effect::Connect { .. } => {
                prop_assert!(!seen.open, "another stream beside an open one");
                seen.connecting = true;
            }
            Effect::Disconnect => (seen.open, seen.connecting) = (false, false),
            Effect::Send(message) => {
                if let ToAuthority::Hello(hello) = message {
                    prop_assert!(seen.connecting && hello.epoch > seen.epoch);
                    prop_assert!(hello.resume.is_none_or(|at| at <= bench.replica.watermark()));
                    (seen.open, seen.connecting, seen.epoch) = (true, false, hello.epoch);
                }
                prop_assert!(seen.open, "{message:?} without a stream");
                match message {
                    ToAuthority::Ack { revision } => prop_assert_eq!(Some(*revision), visible),
                    ToAuthority::Renew { request } => {
                        prop_assert!(seen.numbers.insert(*request), "a number used twice");
                        prop_assert!(bench.session.status().live, "renewed without a whole state");
                    }
                    ToAuthority::Ask { request } => prop_assert!(seen.numbers.insert(*request), "a number used twice"),
                    ToAuthority::Goodbye => {
                        prop_assert!(matches!(new.last(), Some(Entry::Void(Void::Goodbye | Void::Ended))));
                    }
                    ToAuthority::Usage(_) => prop_assert!(false, "the session tells of no use"),
                    ToAuthority::Hello(_) => {}
                }
            }
            Effect::Lost(_) => seen.over = true,
            _ => {}
        }
    }
    if input == Some(&Input::AskWatermark) {
        let answers = effects.iter().filter(|effect| matches!(effect, Effect::Asked { .. } | Effect::AsksFailed));
        prop_assert!(answers.count() >= 1);
    }
    seen.over |= bench.session.status().ended;
    // What could not be applied, or came out of turn, leaves no lease.
    let fault = |effect: &Effect| {
        matches!(effect, Effect::Note(super::Note::Fault(_) | super::Note::NeedsProtocol { .. } | super::Note::Jump))
    };
    if effects.iter().any(fault) {
        prop_assert_eq!(bench.replica.lease(), None);
    }
    // Leases only get newer; none is set over a jump; the watermark rests while a snapshot is built.
    let mut last: Option<(u64, BootTime)> = None;
    let mut building = false;
    for (place, entry) in log.iter().enumerate() {
        match entry {
            Entry::LeaseSet(lease) => {
                let newer = (lease.request, lease.sent.boot);
                prop_assert!(last.is_none_or(|(request, sent)| request < newer.0 && sent <= newer.1));
                last = Some(newer);
                if place >= log.len() - new.len() {
                    prop_assert!(bench.now.jump_since(lease.sent) <= JUMP_MAX);
                }
            }
            Entry::SnapshotBegin => building = true,
            Entry::SnapshotEnd(_) => building = false,
            Entry::Advanced(_) | Entry::Applied(_) if building && place >= log.len() - new.len() => {
                // An unfinished snapshot of a stream that is gone does not count; one of this stream does.
                prop_assert!(!matches!(bench.session.state, super::State::AwaitingSnapshot(_)));
            }
            _ => {}
        }
    }
    prop_assert!(bench.session.status().applied.unwrap_or(Revision::ZERO) <= bench.replica.watermark());
    Ok(())
}
