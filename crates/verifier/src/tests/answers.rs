//! One answer at a time.

use std::{cell::Cell, sync::Arc, time::Duration};

use jeton_feed::{
    lease::Void,
    record::{Change, EndReason, Policy, TokenEntry},
    replica::{Replica as _, Unappliable, Visible},
};
use jeton_types::{AddressList, Now, ScopeSet, UnixTime};

use super::{AUTHORITY, Held, START, acme, hooked, hooked::Hooked, lease, part, policy, record, replica_of, revision};
use crate::{
    Code, MemoryReplica, Outcome, Required, Source, StaleWhy, Waiting, decide,
    first_use::{CaughtUp, FirstUse},
};

fn known() -> Held {
    Held::new("acme_live", 5, 1)
}

fn after(millis: u64) -> Now {
    START.plus(Duration::from_millis(millis))
}

/// Says an outcome in a few words.
fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answer(verdict) => format!("{} {}", verdict.code(), verdict.source()),
        Outcome::NeedsWatermark(Waiting::Token { birth, .. }) => format!("needs a watermark of {birth}"),
        Outcome::NeedsWatermark(Waiting::Revision(revision)) => format!("needs revision {revision}"),
        Outcome::NeedsWatermark(Waiting::Age) => "needs a newer view".to_owned(),
        Outcome::Stale(why) => format!("stale {}", why.as_str()),
    }
}

fn check(replica: &MemoryReplica, held: &Held, at: Now, expect: &str) {
    assert_eq!(words(&replica.verify(&held.text, &Required::default(), None, || at)), expect);
}

fn leased(grace_secs: u64, rows: Vec<TokenEntry>) -> MemoryReplica {
    let replica = replica_of(grace_secs, rows);
    assert!(replica.lease_set(lease(1, START), 0));
    replica
}

#[test]
fn the_codes_under_a_lease() {
    let mut ended = Held::new("acme_live", 5, 2).entry();
    ended.ended = Some(EndReason::Revoked);
    let mut expired = Held::new("acme_live", 5, 3).entry();
    expired.expires_at = Some(AUTHORITY);
    let replica = leased(0, vec![known().entry(), ended, expired]);
    check(&replica, &known(), START, "valid replica");
    check(&replica, &Held::new("acme_live", 5, 2), START, "revoked replica");
    check(&replica, &Held::new("acme_live", 5, 3), START, "expired replica");
    check(&replica, &Held::new("acme_live", 10, 4), START, "unknown replica");
    check(&replica, &Held::new("acme_live", 11, 4), START, "needs a watermark of 11");
    check(&replica, &Held::new("other", 11, 4), START, "unknown replica");
    let malformed = Held { text: b"acme_live_x".to_vec(), ..known() };
    check(&replica, &malformed, START, "malformed replica");
    let required = Required { scopes: ScopeSet::parse(["orders:write"]).unwrap(), ..Required::default() };
    let outcome = replica.verify(&known().text, &required, None, || START);
    assert_eq!(words(&outcome), "insufficient_scope replica");
}

#[test]
fn a_verdict_carries_its_evidence() {
    let mut entry = known().entry();
    entry.subject = Some("billing".parse().unwrap());
    entry.expires_at = Some(AUTHORITY.plus(Duration::from_secs(100)));
    let replica = leased(30, vec![entry]);
    replica.watermark_advance(revision(33));
    let Outcome::Answer(verdict) = replica.verify(&known().text, &Required::default(), None, || after(2_000)) else {
        panic!("no answer")
    };
    assert!(verdict.valid());
    assert_eq!(verdict.namespace(), Some(&acme()));
    assert_eq!(verdict.token(), Some(known().id));
    assert_eq!(verdict.subject().unwrap().as_str(), "billing");
    assert_eq!(verdict.scopes().unwrap().to_string(), "orders:read");
    assert_eq!(verdict.revision(), revision(33));
    assert_eq!(verdict.as_of(), AUTHORITY.plus(Duration::from_secs(2)));
    assert_eq!(verdict.not_after(), Some(AUTHORITY.plus(Duration::from_secs(5))));
    // In grace until grace ends, or the token does.
    let Outcome::Answer(verdict) = replica.verify(&known().text, &Required::default(), None, || after(6_000)) else {
        panic!("no answer")
    };
    assert_eq!((verdict.source(), verdict.not_after()), (Source::Grace, Some(AUTHORITY.plus(Duration::from_secs(35)))));
}

#[test]
fn past_the_lease_strict_is_stale_and_grace_goes_on() {
    for (grace, millis, expect) in [
        (0, 4_999, "valid replica"),
        (0, 5_000, "stale lapsed"),
        (30, 5_000, "valid grace"),
        (30, 34_999, "valid grace"),
        (30, 35_000, "stale lapsed"),
    ] {
        let replica = leased(grace, vec![known().entry()]);
        check(&replica, &known(), after(millis), expect);
        assert_eq!(replica.ready(after(millis)), !expect.starts_with("stale"), "{millis}");
    }
}

#[test]
fn unavailable_is_neither_valid_nor_invalid() {
    let unknown = Held::new("acme_live", 5, 9);
    let foreign = Held::new("other", 5, 9);
    // Nothing has come yet: even the prefix may be one that is served.
    let replica = MemoryReplica::new(&[acme()]);
    for held in [&known(), &unknown, &foreign] {
        check(&replica, held, START, "stale no_lease");
    }
    assert!(replica.lease_set(lease(1, START), 0));
    check(&replica, &foreign, START, "stale no_state");
    assert!(!replica.ready(START));
    let replica: MemoryReplica = replica_of(0, vec![known().entry()]);
    for held in [&known(), &unknown, &foreign] {
        check(&replica, held, START, "stale no_lease");
    }
    assert!(replica.lease_set(lease(1, START), 0));
    for held in [&known(), &unknown, &foreign] {
        check(&replica, held, after(5_000), "stale lapsed");
    }
}

#[test]
fn a_fresh_token_in_grace_is_never_unknown() {
    let replica = leased(30, vec![known().entry()]);
    let fresh = Held::new("acme_live", 11, 9);
    check(&replica, &fresh, after(6_000), "needs a watermark of 11");
    check(&replica, &fresh, after(36_000), "stale lapsed");
    // The stream is down: whoever waited is let go without a proof, and no other way leads to `unknown`.
    let mut first_use = FirstUse::new();
    let ticket = first_use.join(START.boot, None).unwrap();
    assert_eq!(first_use.failed(), [ticket]);
    // Caught up, still absent: unknown, even if it claims to be of the future.
    first_use.join(START.boot, None).unwrap();
    first_use.sent(START.boot, 3);
    let caught_up = first_use.answered(3).caught_up;
    let outcome = replica.verify_caught_up(&fresh.text, &Required::default(), None, caught_up, || after(6_000));
    assert_eq!(words(&outcome), "unknown grace");
}

#[test]
fn revoked_needs_no_lease_but_silence_after_goodbye() {
    let replica: MemoryReplica = replica_of(0, vec![known().entry()]);
    let visible = replica.record_apply(&record(10, 20, vec![known().end()]));
    assert_eq!(visible, Ok(Visible::up_to(revision(20))));
    check(&replica, &known(), START, "revoked replica");
    replica.lease_void(Void::Ended);
    check(&replica, &known(), START, "revoked replica");
    replica.lease_void(Void::Goodbye);
    check(&replica, &known(), START, "stale leaving");
    // Goodbye is final.
    replica.lease_void(Void::Jump);
    assert!(!replica.lease_set(lease(9, START), replica.lease_generation()));
    check(&replica, &known(), START, "stale leaving");
}

#[test]
fn a_void_between_look_and_release_lets_nothing_out() {
    for (void, expect) in [
        (Void::Ended, "stale session_ended"),
        (Void::Jump, "stale clock_jump"),
        (Void::Unappliable, "stale unappliable"),
        (Void::Rollback, "stale rollback"),
        (Void::OtherStore, "stale other_store"),
        (Void::Goodbye, "stale leaving"),
    ] {
        let replica = leased(30, vec![known().entry()]);
        let computed = replica.look(&known().text, START).unwrap().compute(&Required::default(), None);
        replica.lease_void(void);
        assert_eq!(words(&computed.release(START, &replica)), expect);
    }
}

#[test]
fn the_lease_of_the_look_counts_and_not_a_newer_one() {
    let replica = leased(0, vec![known().entry()]);
    let computed = replica.look(&known().text, START).unwrap().compute(&Required::default(), None);
    // The process slept; meanwhile the token was revoked and another lease granted.
    let _ = replica.record_apply(&record(10, 20, vec![known().end()])).unwrap();
    assert!(replica.lease_set(lease(2, after(6_000)), 0));
    assert_eq!(words(&computed.release(after(6_500), &replica)), "stale overtaken");
    check(&replica, &known(), after(6_500), "revoked replica");
    // The same by `verify`: the clock tells of a long sleep at the first release only.
    let replica = leased(0, vec![known().entry()]);
    let reads = Cell::new(0);
    let clock = || {
        reads.set(reads.get() + 1);
        if reads.get() == 2 {
            assert!(replica.lease_set(lease(2, after(6_000)), 0));
        }
        if reads.get() == 1 { START } else { after(6_500) }
    };
    let outcome = replica.verify(&known().text, &Required::default(), None, clock);
    assert_eq!((words(&outcome).as_str(), reads.get()), ("valid replica", 4));
}

#[test]
fn a_jump_at_the_release_voids_the_lease_for_all() {
    let replica = leased(30, vec![known().entry()]);
    let mut jumped = after(1_000);
    jumped.real = jumped.real.plus(Duration::from_millis(251));
    check(&replica, &known(), jumped, "stale clock_jump");
    assert!(replica.jump_take() && !replica.jump_take());
    check(&replica, &known(), after(1_001), "stale clock_jump");
    assert!(!replica.lease_set(lease(2, START), 0), "the grant of a renewal sent before");
    assert!(replica.lease_set(lease(3, jumped), replica.lease_generation()));
    check(&replica, &known(), jumped, "valid replica");
    // An old look that sees the jump late does not void what was granted after it.
    let late = replica.look(&known().text, jumped).unwrap().compute(&Required::default(), None);
    assert_eq!(words(&late.release(jumped, &replica)), "valid replica");
}

#[test]
fn an_older_lease_never_replaces_a_newer() {
    let replica = leased(0, Vec::new());
    assert!(replica.lease_set(lease(3, after(3_000)), 0));
    assert!(!replica.lease_set(lease(2, after(1_600)), 0));
    assert_eq!(replica.lease().unwrap().request, 3);
}

#[test]
fn expiry_may_pass_between_computing_and_release() {
    let mut entry = known().entry();
    entry.expires_at = Some(AUTHORITY.plus(Duration::from_millis(1_250)));
    let replica = leased(0, vec![entry]);
    // Reckoned a quarter fast: 1.25 s of authority time have passed after 1 s.
    let computed = replica.look(&known().text, after(999)).unwrap().compute(&Required::default(), None);
    assert_eq!(words(&computed.release(after(1_000), &replica)), "expired replica");
    check(&replica, &known(), after(999), "valid replica");
}

#[test]
fn a_deadline_only_comes_nearer_and_an_end_is_for_good() {
    let replica = leased(0, vec![known().entry()]);
    let deadline = |secs| Change::Deadline {
        digest: known().digest,
        token: known().id,
        expires_at: AUTHORITY.plus(Duration::from_secs(secs)),
    };
    let _ = replica.record_apply(&record(10, 20, vec![deadline(3)])).unwrap();
    let _ = replica.record_apply(&record(20, 21, vec![deadline(60)])).unwrap();
    check(&replica, &known(), after(2_400), "expired replica");
    let _ = replica.record_apply(&record(21, 22, vec![known().end()])).unwrap();
    // A row that comes late, and a snapshot of an authority that forgot the end.
    let _ = replica.record_apply(&record(22, 23, vec![Change::Token(known().entry())])).unwrap();
    check(&replica, &known(), START, "revoked replica");
    replica.snapshot_begin();
    replica.snapshot_rows(part(policy(0), vec![known().entry()]));
    let _ = replica.snapshot_end(revision(30));
    check(&replica, &known(), START, "revoked replica");
}

#[test]
fn records_follow_or_change_nothing() {
    let replica = leased(0, vec![known().entry()]);
    let other = Held::new("acme_live", 15, 9);
    let gap = |named, applied| {
        Err(Unappliable::Gap { namespace: acme(), named: revision(named), applied: revision(applied) })
    };
    // After a snapshot the last record is somewhere at or below it.
    assert_eq!(replica.record_apply(&record(15, 20, vec![known().end()])), gap(15, 10));
    assert_eq!(replica.record_apply(&record(4, 20, Vec::new())), Ok(Visible::up_to(revision(20))));
    // After a record it is known exactly.
    assert_eq!(replica.record_apply(&record(19, 21, vec![known().end()])), gap(19, 20));
    assert_eq!(replica.record_apply(&record(21, 22, vec![known().end()])), gap(21, 20));
    // Applied before, by record or by snapshot.
    for at in [7, 20] {
        assert_eq!(replica.record_apply(&record(4, at, vec![known().end()])), Ok(Visible::up_to(revision(20))));
    }
    // A watermark that covered what had not come.
    replica.watermark_advance(revision(40));
    assert_eq!(replica.record_apply(&record(20, 30, vec![known().end()])), gap(20, 40));
    let missing = Unappliable::Missing { namespace: acme(), token: other.id };
    assert_eq!(replica.record_apply(&record(20, 41, vec![known().end(), other.end()])), Err(missing));
    let unknown = vec![known().end(), Change::Unknown { kind: 9, needs_protocol: 2 }];
    let refused = Err(Unappliable::UnknownChange { kind: 9, needs_protocol: 2 });
    assert_eq!(replica.record_apply(&record(20, 41, unknown)), refused);
    let mut foreign = record(20, 41, vec![known().end()]);
    foreign.namespace = "zeta".parse().unwrap();
    assert_eq!(replica.record_apply(&foreign), Err(Unappliable::Foreign("zeta".parse().unwrap())));
    check(&replica, &known(), START, "valid replica");
    // A record may end what it brings.
    let both = vec![Change::Token(other.entry()), other.end()];
    assert_eq!(replica.record_apply(&record(20, 41, both)), Ok(Visible::up_to(revision(41))));
    check(&replica, &other, START, "revoked replica");
}

/// S19: the authority is of another history. Nothing is answered of what is held but what has ended, and then all is taken
/// from a snapshot that may be older.
#[test]
fn what_is_of_another_history_is_replaced_by_an_older_snapshot() {
    let (kept, gone) = (Held::new("acme_live", 5, 8), Held::new("acme_live", 8, 9));
    let replica = leased(30, vec![known().entry(), kept.entry(), gone.entry()]);
    let _ = replica.record_apply(&record(10, 20, vec![known().end()])).unwrap();
    // Looked at before, released after.
    let early = replica.look(&kept.text, START).unwrap().compute(&Required::default(), None);
    let generation = replica.lease_generation();
    replica.lease_void(Void::OtherStore);
    replica.anew();
    assert_eq!(words(&early.release(START, &replica)), "stale other_store");
    assert_eq!(replica.watermark(), revision(0));
    check(&replica, &kept, START, "stale other_store");
    check(&replica, &gone, START, "stale other_store");
    check(&replica, &known(), START, "revoked replica");
    assert!(!replica.lease_set(lease(8, START), generation), "what was granted before counts no more");

    replica.snapshot_begin();
    replica.snapshot_rows(part(policy(0), vec![known().entry(), kept.entry()]));
    assert_eq!(replica.snapshot_end(revision(9)), Ok(Visible::up_to(revision(9))));
    assert!(replica.lease_set(lease(9, START), replica.lease_generation()));
    check(&replica, &kept, START, "valid replica");
    check(&replica, &gone, START, "unknown replica");
    check(&replica, &known(), START, "revoked replica");
    assert_eq!(
        replica.record_apply(&record(9, 15, Vec::new())),
        Ok(Visible::up_to(revision(15))),
        "and goes on from there"
    );
}

#[test]
fn a_snapshot_replaces_the_whole_and_an_older_one_nothing() {
    let replica = leased(0, vec![known().entry()]);
    let _ = replica.record_apply(&record(10, 20, vec![known().end()])).unwrap();
    replica.snapshot_begin();
    replica.snapshot_rows(part(policy(0), vec![known().entry()]));
    check(&replica, &Held::new("acme_live", 5, 9), START, "unknown replica");
    assert_eq!(replica.snapshot_end(revision(15)), Ok(Visible::up_to(revision(20))));
    check(&replica, &known(), START, "revoked replica");
    assert_eq!(replica.watermark(), revision(20));
    // A newer one: what it does not hold is gone, what it holds is there at once.
    let other = Held::new("acme_live", 25, 9);
    replica.snapshot_begin();
    replica.snapshot_rows(part(policy(0), Vec::new()));
    replica.snapshot_rows(part(policy(0), vec![other.entry()]));
    check(&replica, &other, START, "needs a watermark of 25");
    assert_eq!(replica.snapshot_end(revision(30)), Ok(Visible::up_to(revision(30))));
    check(&replica, &other, START, "valid replica");
    check(&replica, &known(), START, "unknown replica");
    let served = replica.namespaces();
    assert_eq!((served.len(), served[0].tokens, served[0].prefix.as_str()), (1, 1, "acme_live"));
}

#[test]
fn another_policy_is_in_force_at_once_and_keeps_the_table() {
    let replica = leased(30, vec![known().entry()]);
    let computed = replica.look(&known().text, after(6_000)).unwrap().compute(&Required::default(), None);
    let _ = replica.record_apply(&record(10, 20, vec![Change::Policy(policy(0))])).unwrap();
    check(&replica, &known(), after(6_000), "stale lapsed");
    check(&replica, &known(), after(4_000), "valid replica");
    // The policy of the table read counts.
    assert_eq!(words(&computed.release(after(6_000), &replica)), "valid grace");
}

#[test]
fn a_read_that_is_overtaken_by_another_view_is_made_again() {
    // A policy: the one that belongs to the table read counts, else strict would be revived into grace.
    let replica = Arc::new(replica_of::<Hooked>(30, vec![known().entry()]));
    assert!(replica.lease_set(lease(1, START), 0));
    let inner = Arc::clone(&replica);
    let strict = move || {
        let _ = inner.record_apply(&record(10, 20, vec![Change::Policy(policy(0))])).unwrap();
    };
    hooked::around_next_find(strict, || {});
    let outcome = replica.verify(&known().text, &Required::default(), None, || after(6_000));
    assert_eq!(words(&outcome), "stale lapsed");
    // A snapshot: the table read is the one in force (S4).
    let inner = Arc::clone(&replica);
    let snapshot = move || {
        inner.snapshot_begin();
        let ended = TokenEntry { ended: Some(EndReason::Revoked), ..known().entry() };
        inner.snapshot_rows(part(policy(0), vec![ended]));
        let _ = inner.snapshot_end(revision(30));
    };
    hooked::around_next_find(snapshot, || {});
    let outcome = replica.verify(&known().text, &Required::default(), None, || START);
    assert_eq!(words(&outcome), "revoked replica");
}

#[test]
fn the_reason_that_never_changes_is_told_first() {
    let required = Required { scopes: ScopeSet::parse(["orders:write"]).unwrap(), ..Required::default() };
    let mut entry = known().entry();
    assert_eq!(decide(&entry, false, &Required::default(), None, AUTHORITY), Code::Valid);
    assert_eq!(decide(&entry, false, &required, None, AUTHORITY), Code::InsufficientScope);
    assert_eq!(decide(&entry, true, &required, None, AUTHORITY), Code::Disabled, "its namespace is");
    entry.disabled = true;
    assert_eq!(decide(&entry, false, &required, None, AUTHORITY), Code::Disabled);
    entry.expires_at = Some(AUTHORITY);
    assert_eq!(decide(&entry, false, &required, None, AUTHORITY.minus(Duration::from_micros(1))), Code::Disabled);
    assert_eq!(decide(&entry, false, &required, None, AUTHORITY), Code::Expired);
    entry.ended = Some(EndReason::Revoked);
    assert_eq!(decide(&entry, false, &required, None, UnixTime::ZERO), Code::Revoked);
}

#[test]
fn what_is_disabled_is_refused_until_it_is_enabled() {
    let (replica, token) = (leased(0, vec![known().entry()]), known());
    let says = |replica: &MemoryReplica| words(&replica.verify(&token.text, &Required::default(), None, || START));
    let switched = |disabled| Change::Policy(Policy { disabled, ..policy(0) });
    let entry = |disabled| Change::Token(TokenEntry { disabled, ..known().entry() });
    let mut at = 10;
    for (change, expect) in [
        (switched(true), "disabled replica"),
        (entry(true), "disabled replica"),
        (switched(false), "disabled replica"),
        (entry(false), "valid replica"),
        (Change::Token(TokenEntry { scopes: ScopeSet::default(), ..known().entry() }), "valid replica"),
    ] {
        let _ = replica.record_apply(&record(at, at + 1, vec![change])).unwrap();
        at += 1;
        assert_eq!(says(&replica), expect, "revision {at}");
    }
    let required = Required { scopes: ScopeSet::parse(["orders:read"]).unwrap(), ..Required::default() };
    let outcome = replica.verify(&token.text, &required, None, || START);
    assert_eq!(words(&outcome), "insufficient_scope replica", "its scopes were narrowed");
    let _ = replica.record_apply(&record(at, at + 1, vec![known().end()])).unwrap();
    let _ = replica.record_apply(&record(at + 1, at + 2, vec![entry(false)])).unwrap();
    assert_eq!(says(&replica), "revoked replica", "nothing that comes later revives it");
}

#[test]
fn stale_says_why() {
    assert_eq!(StaleWhy::Voided(Void::Jump).as_str(), "clock_jump");
    for code in Code::ALL {
        assert!(code.as_str().chars().all(|char| char.is_ascii_lowercase() || char == '_'), "{code}");
    }
}

fn demanded(at_least: Option<u64>, max_age_ms: Option<u64>) -> Required {
    Required { at_least: at_least.map(revision), max_age: max_age_ms.map(Duration::from_millis), ..Required::default() }
}

fn caught_up() -> CaughtUp {
    let mut first_use = FirstUse::new();
    first_use.join(START.boot, None).unwrap();
    first_use.sent(START.boot, 1);
    first_use.answered(1).caught_up
}

#[test]
fn a_revision_that_was_demanded_is_waited_for() {
    let replica = leased(30, vec![known().entry()]);
    let says = |at_least| words(&replica.verify(&known().text, &demanded(Some(at_least), None), None, || START));
    assert_eq!((says(9).as_str(), says(10).as_str()), ("valid replica", "valid replica"));
    assert_eq!(says(11), "needs revision 11");
    let after_asking = |at_least| {
        let required = demanded(Some(at_least), None);
        words(&replica.verify_caught_up(&known().text, &required, None, caught_up(), || START))
    };
    assert_eq!(after_asking(11), "stale behind", "the authority has not got there either");
    replica.watermark_advance(revision(11));
    assert_eq!((says(11).as_str(), after_asking(11).as_str()), ("valid replica", "valid replica"));
    // Whatever is refused is refused on that evidence too; but what never changes needs none.
    let unknown = Held::new("acme_live", 5, 9);
    assert_eq!(words(&replica.verify(&unknown.text, &demanded(Some(12), None), None, || START)), "needs revision 12");
    assert_eq!(words(&replica.verify(b"x", &demanded(Some(12), None), None, || START)), "malformed replica");
    let _ = replica.record_apply(&record(10, 20, vec![known().end()])).unwrap();
    assert_eq!(says(99), "revoked replica");
}

#[test]
fn evidence_is_as_old_as_the_question_that_brought_it() {
    let replica = leased(30, vec![known().entry()]);
    let says =
        |max_age, at: u64| words(&replica.verify(&known().text, &demanded(None, Some(max_age)), None, || after(at)));
    // The renewal was sent at the start, and is granted to whoever is at most a second behind; a quarter for the clocks.
    assert_eq!(says(1_250, 0), "valid replica");
    assert_eq!(says(1_249, 0), "needs a newer view");
    assert_eq!(says(3_000, 1_750), "valid replica");
    assert_eq!(says(3_000, 1_751), "needs a newer view");
    // That something arrives says nothing of when it was sent.
    replica.watermark_advance(revision(33));
    assert_eq!(says(1_249, 0), "needs a newer view");
    // Caught up is as new as can be, until that is old as well.
    let required = demanded(None, Some(0));
    let outcome = replica.verify_caught_up(&known().text, &required, None, caught_up(), || after(4_000));
    assert_eq!(words(&outcome), "valid replica");
    replica.confirm(after(4_000).boot);
    assert_eq!((says(500, 4_500).as_str(), says(499, 4_500).as_str()), ("valid replica", "needs a newer view"));
    replica.confirm(after(1_000).boot);
    assert_eq!(says(500, 4_500), "valid replica", "it only grows");
    assert_eq!(says(3_600_000, 20_000), "valid grace");
    assert_eq!(says(3_600_000, 40_000), "stale lapsed", "no demand makes up for the lease");
}

#[test]
fn a_token_bound_to_addresses() {
    let bound =
        TokenEntry { addresses: AddressList::parse(["10.0.0.0/8", "2001:db8::/32"]).unwrap(), ..known().entry() };
    let replica = leased(30, vec![bound.clone()]);
    let says = |client: Option<&str>| {
        let client = client.map(|text| text.parse().unwrap());
        words(&replica.verify(&known().text, &Required::default(), client, || START))
    };
    assert_eq!(says(Some("10.1.2.3")), "valid replica");
    assert_eq!(says(Some("::ffff:10.1.2.3")), "valid replica");
    assert_eq!(says(Some("2001:db8::1")), "valid replica");
    assert_eq!(says(Some("11.1.2.3")), "address_denied replica");
    assert_eq!(says(None), "address_denied replica", "who is not known is in no range");
    let narrower = TokenEntry { addresses: AddressList::parse(["10.0.0.0/16"]).unwrap(), ..bound };
    let _ = replica.record_apply(&record(10, 20, vec![Change::Token(narrower.clone())])).unwrap();
    assert_eq!(
        (says(Some("10.0.2.3")).as_str(), says(Some("10.1.2.3")).as_str()),
        ("valid replica", "address_denied replica")
    );
    let required = Required { scopes: ScopeSet::parse(["orders:write"]).unwrap(), ..Required::default() };
    let code = |disabled| decide(&narrower, disabled, &required, None, AUTHORITY);
    assert_eq!((code(false), code(true)), (Code::AddressDenied, Code::Disabled));
}
