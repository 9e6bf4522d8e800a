//! Who waits for whom, over random schedules.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use jeton_feed::numbers::{ASKS_PER_SECOND, FIRST_USE_WAIT};
use jeton_types::BootTime;
use proptest::prelude::*;

use crate::first_use::{FirstUse, Ticket, TooMany, WAITERS_MAX, WAITERS_PER_CLIENT_MAX};

fn at(millis: u64) -> BootTime {
    BootTime::from_nanos(millis * 1_000_000)
}

#[test]
fn a_waiter_joins_only_a_request_sent_after_it_came() {
    let mut first_use = FirstUse::new();
    let one = first_use.join(at(0), None).unwrap();
    assert!(first_use.wants_ask(at(0)));
    first_use.sent(at(0), 7);
    let two = first_use.join(at(1), None).unwrap();
    assert!(!first_use.wants_ask(at(1_000)), "one is in flight");
    assert_eq!(first_use.answered(6).tickets, []);
    assert_eq!(first_use.answered(7).tickets, [one]);
    assert_eq!(first_use.answered(7).tickets, []);
    // Fifty milliseconds after the first, not sooner.
    assert!(!first_use.wants_ask(at(49)) && first_use.wants_ask(at(50)));
    assert_eq!(first_use.next_wakeup(), Some(at(50)));
    first_use.sent(at(50), 8);
    assert_eq!(first_use.next_wakeup(), Some(at(251)));
    assert_eq!(first_use.tick(at(250)), []);
    assert_eq!(first_use.tick(at(251)), [two]);
    assert_eq!(first_use.answered(8).tickets, []);
    assert_eq!(first_use.next_wakeup(), None);
}

#[test]
fn waiters_are_bounded_in_all_and_per_client() {
    let mut first_use = FirstUse::new();
    let client: IpAddr = "192.0.2.7".parse().unwrap();
    let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
    let tickets: Vec<_> = (0..WAITERS_PER_CLIENT_MAX).map(|_| first_use.join(at(0), Some(client)).unwrap()).collect();
    assert_eq!(first_use.join(at(0), Some(mapped)), Err(TooMany::OfClient));
    first_use.leave(tickets[3]);
    let again = first_use.join(at(0), Some(mapped));
    assert!(again.is_ok());
    // A proxy on this machine speaks for many.
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        for _ in 0..WAITERS_PER_CLIENT_MAX + 1 {
            first_use.join(at(0), Some(address.parse().unwrap())).unwrap();
        }
    }
    while first_use.waiting() < WAITERS_MAX {
        first_use.join(at(0), None).unwrap();
    }
    assert_eq!(first_use.join(at(0), None), Err(TooMany::InAll));
    assert_eq!(first_use.failed().len(), WAITERS_MAX);
    assert_eq!(first_use.waiting(), 0);
    assert!(first_use.join(at(0), Some(client)).is_ok());
}

#[derive(Debug, Clone)]
enum Move {
    Join(u8),
    /// Sends a request if one is wanted, as the driver does.
    Ask,
    Answer(u8),
    Fail,
    Leave(u8),
    Wait(u16),
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        12 => (0..4_u8).prop_map(Move::Join),
        12 => Just(Move::Ask),
        6 => (0..3_u8).prop_map(Move::Answer),
        1 => Just(Move::Fail),
        2 => any::<u8>().prop_map(Move::Leave),
        8 => (0..90_u16).prop_map(Move::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_rules_hold(moves in proptest::collection::vec(any_move(), 1..300)) {
        let mut first_use = FirstUse::new();
        let mut now = 0_u64;
        let mut order = 0_u64;
        let mut waiting: HashMap<Ticket, (u64, u64)> = HashMap::new();
        // Number, order and time of each request.
        let mut sent: Vec<(u64, u64, u64)> = Vec::new();
        let mut in_flight = false;
        for each in moves {
            order += 1;
            match each {
                Move::Join(client) => {
                    let address = (client > 0).then(|| IpAddr::from([198, 51, 100, client]));
                    if let Ok(ticket) = first_use.join(at(now), address) {
                        prop_assert!(waiting.insert(ticket, (order, now)).is_none(), "a ticket twice");
                    }
                }
                Move::Ask => if first_use.wants_ask(at(now)) {
                    prop_assert!(!in_flight, "one in flight");
                    prop_assert!(!waiting.is_empty(), "nobody waits");
                    in_flight = true;
                    let request = 10 + order;
                    first_use.sent(at(now), request);
                    sent.push((request, order, now));
                    let second = sent.iter().filter(|(_, _, time)| now - time < 1_000).count();
                    prop_assert!(second <= ASKS_PER_SECOND as usize, "too many in a second");
                },
                Move::Answer(back) => if let Some((request, asked, _)) = sent.iter().rev().nth(back as usize) {
                    let last = back == 0;
                    for ticket in first_use.answered(*request).tickets {
                        prop_assert!(in_flight && last, "an answer that was given up");
                        let (joined, _) = waiting.remove(&ticket).unwrap();
                        prop_assert!(joined < *asked, "let go by a request sent before it came");
                    }
                    in_flight &= !last;
                },
                Move::Fail => {
                    for ticket in first_use.failed() {
                        prop_assert!(waiting.remove(&ticket).is_some());
                    }
                    in_flight = false;
                    prop_assert!(waiting.is_empty(), "all are let go");
                }
                Move::Leave(which) => {
                    let mut tickets: Vec<_> = waiting.keys().copied().collect();
                    tickets.sort_unstable();
                    if let Some(ticket) = tickets.get(which as usize % tickets.len().max(1)) {
                        first_use.leave(*ticket);
                        waiting.remove(ticket);
                    }
                }
                Move::Wait(millis) => {
                    now += u64::from(millis);
                    for ticket in first_use.tick(at(now)) {
                        let (_, since) = waiting.remove(&ticket).unwrap();
                        prop_assert!(Duration::from_millis(now - since) >= FIRST_USE_WAIT);
                    }
                    prop_assert!(
                        waiting.values().all(|(_, since)| Duration::from_millis(now - since) < FIRST_USE_WAIT),
                        "nobody waits for longer"
                    );
                }
            }
            prop_assert_eq!(first_use.waiting(), waiting.len());
            prop_assert!(waiting.is_empty() || first_use.next_wakeup().is_some());
        }
    }
}
