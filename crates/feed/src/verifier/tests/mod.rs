//! One session against a replica that keeps a book of what was done to it.

mod book;
mod frames;
mod mismatch;
mod property;

use std::time::Duration;

use jeton_types::{BootTime, Freshness, Hash32, Now, Place, Revision, SessionId, Span, StartId, UnixTime};

use self::book::{Book, Entry};
use super::*;
use crate::{
    message::{Grant, Refusal, Refused, SnapshotPart, Welcome},
    numbers::{LEASE, RENEW_EVERY},
    record::{Change, Policy, Record},
    replica::Unappliable,
};

const START: Now = Now { boot: BootTime::from_nanos(1_000_000_000_000), real: UnixTime::from_micros(5_000_000) };

fn revision(value: u64) -> Revision {
    Revision::new(value).unwrap()
}

fn head(at: u64) -> Head {
    Head { revision: revision(at), start: StartId::from_bytes([1; 16]), chain_hash: Hash32::ZERO, mac: None }
}

fn policy() -> Policy {
    Policy { prefix: "acme_live".parse().unwrap(), freshness: Freshness::Grace(Span::from_secs(30)), disabled: false }
}

fn record(predecessor: u64, at: u64, changes: Vec<Change>) -> ToVerifier {
    ToVerifier::Record(Record {
        revision: revision(at),
        predecessor: revision(predecessor),
        namespace: "acme".parse().unwrap(),
        start: StartId::from_bytes([1; 16]),
        chain_hash: Hash32::ZERO,
        set_hash: None,
        committed_at: UnixTime::ZERO,
        changes,
    })
}

fn welcome(resume: Option<u64>, at: u64) -> ToVerifier {
    ToVerifier::Welcome(Welcome {
        protocol: PROTOCOL,
        resume: resume.map(revision),
        mismatch: false,
        head: head(at),
        authority_time: UnixTime::ZERO,
        foreign: false,
    })
}

/// The welcome of an authority that has nothing of what was seen before.
fn foreign(at: u64) -> ToVerifier {
    match welcome(None, at) {
        ToVerifier::Welcome(welcome) => ToVerifier::Welcome(Welcome { foreign: true, ..welcome }),
        other => other,
    }
}

fn heartbeat(at: u64) -> ToVerifier {
    ToVerifier::Heartbeat { watermark: revision(at), authority_time: UnixTime::ZERO, head: head(at) }
}

fn grant(request: u64) -> ToVerifier {
    ToVerifier::Grant(Grant { request, authority_time: UnixTime::from_micros(9_000_000) })
}

fn ack(at: u64) -> Effect {
    Effect::Send(ToAuthority::Ack { revision: revision(at) })
}

fn renew(request: u64) -> Effect {
    Effect::Send(ToAuthority::Renew { request })
}

/// A session, its replica and its clocks.
struct Bench {
    session: Session,
    replica: Book,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        let config = SessionConfig {
            verifier: "edge-1".parse().unwrap(),
            session: SessionId::from_bytes([7; 16]),
            namespaces: vec!["acme".parse().unwrap()],
            jitter_seed: 3,
            place: None,
            claims: Vec::new(),
        };
        Self { session: Session::new(config, START), replica: Book::default(), now: START }
    }

    /// With a snapshot of revision 10 in force and the first renewal, number 1, sent.
    fn live() -> Self {
        let mut bench = Self::new();
        bench.input(Input::Tick);
        bench.input(Input::Connected);
        bench.hear(welcome(None, 10));
        bench.hear(ToVerifier::SnapshotBegin { at: revision(10) });
        bench.hear(ToVerifier::SnapshotEnd { at: revision(10) });
        bench
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        self.session.step(self.now, input, &self.replica)
    }

    fn hear(&mut self, message: ToVerifier) -> Vec<Effect> {
        self.input(Input::Message(message))
    }

    fn later(&mut self, span: Duration) -> Vec<Effect> {
        self.now = self.now.plus(span);
        self.input(Input::Tick)
    }

    /// Opens the next stream and returns its hello.
    fn hello(&mut self) -> Hello {
        let effects = self.input(Input::Connected);
        let [Effect::Send(ToAuthority::Hello(hello))] = effects.as_slice() else { panic!("{effects:?}") };
        hello.clone()
    }

    fn lease(&self) -> Option<u64> {
        self.replica.lease().map(|lease| lease.request)
    }
}

/// What a stream that is given up comes to, whatever else is said.
fn reconnects(effects: &[Effect]) -> Duration {
    let [.., Effect::AsksFailed, Effect::Connect { after }] = effects else { panic!("{effects:?}") };
    *after
}

#[test]
fn a_new_session_takes_a_snapshot_acknowledges_it_and_renews() {
    let mut bench = Bench::new();
    assert_eq!(bench.session.next_wakeup(), START.boot);
    assert_eq!(bench.input(Input::Tick), [Effect::Connect { after: Duration::ZERO }]);
    let hello = bench.hello();
    assert_eq!((hello.epoch, hello.resume, hello.head), (1, None, None));
    assert_eq!(bench.hear(welcome(None, 10)), [Effect::Note(Note::Welcomed { protocol: PROTOCOL, resume: None })]);
    assert_eq!(bench.hear(ToVerifier::SnapshotBegin { at: revision(10) }), []);
    let namespace = "acme".parse().unwrap();
    assert_eq!(
        bench.hear(ToVerifier::SnapshotRows(SnapshotPart {
            namespace,
            policy: policy(),
            rows: Vec::new(),
            set_hash: None
        })),
        []
    );
    // A heartbeat in between moves nothing (rule 16): what it covers may still be on its way.
    assert_eq!(bench.hear(heartbeat(12)), []);
    assert_eq!(bench.replica.watermark(), Revision::ZERO);
    let done = bench.hear(ToVerifier::SnapshotEnd { at: revision(10) });
    assert_eq!(done, [Effect::Note(Note::Snapshot { at: revision(10), rows: 0 }), ack(10), renew(1)]);
    bench.hear(heartbeat(12));
    assert_eq!(bench.session.status().applied, Some(revision(12)));
    assert_eq!(bench.replica.watermark(), revision(12));
}

#[test]
fn a_lease_counts_from_the_sending_and_an_older_grant_replaces_no_newer() {
    let mut bench = Bench::live();
    assert_eq!(bench.later(RENEW_EVERY), [renew(2)]);
    let sent = bench.now;
    bench.now = bench.now.plus(Duration::from_millis(900));
    bench.hear(grant(2));
    assert_eq!(bench.replica.lease().unwrap().sent, sent);
    bench.hear(grant(1));
    assert_eq!(bench.lease(), Some(2));
    bench.hear(grant(2));
    bench.hear(grant(77));
    assert_eq!(bench.replica.leases_set(), 1, "each renewal is granted once, and only what was asked for");
}

#[test]
fn a_jump_discards_the_lease_and_what_was_sent_before() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    bench.later(RENEW_EVERY);
    bench.now.real = bench.now.real.plus(Duration::from_millis(300));
    let effects = bench.hear(grant(2));
    assert_eq!(effects, [Effect::Note(Note::Jump), renew(3)]);
    assert_eq!(bench.lease(), None);
    bench.hear(grant(3));
    assert_eq!(bench.lease(), Some(3));
}

#[test]
fn a_jump_that_a_release_saw_voids_renewals_under_way() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    bench.later(RENEW_EVERY);
    bench.replica.lease_void(Void::Jump);
    assert_eq!(bench.hear(grant(2)), [renew(3)]);
    assert_eq!(bench.lease(), None, "sent before the void");
    bench.hear(grant(3));
    assert_eq!(bench.lease(), Some(3));
    // And told by the driver.
    assert_eq!(bench.input(Input::JumpSeen), [Effect::Note(Note::Jump), renew(4)]);
    assert_eq!(bench.lease(), None);
}

#[test]
fn before_a_first_grant_a_void_makes_the_replica_refuse_it() {
    let mut bench = Bench::live();
    bench.replica.lease_void(Void::Jump);
    assert_eq!(bench.hear(grant(1)), [Effect::Note(Note::GrantDiscarded), renew(2)]);
    assert_eq!(bench.lease(), None);
}

#[test]
fn every_record_is_acknowledged_after_it_is_applied() {
    let mut bench = Bench::live();
    assert_eq!(bench.hear(record(9, 20, Vec::new())), [ack(20)]);
    assert_eq!(bench.hear(record(20, 21, Vec::new())), [ack(21)]);
    assert_eq!(bench.replica.watermark(), revision(21));
}

#[test]
fn a_gap_voids_the_lease_and_asks_for_a_snapshot() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    let effects = bench.hear(record(15, 20, Vec::new()));
    assert!(matches!(&effects[0], Effect::Note(Note::Fault(Fault::Unappliable(Unappliable::Gap { .. })))));
    assert_eq!(effects[1], Effect::Disconnect);
    assert!(reconnects(&effects) <= Duration::from_millis(50));
    assert_eq!(bench.replica.voided(), Some(Void::Unappliable));
    assert_eq!(bench.hello().resume, None);
}

#[test]
fn an_unknown_change_is_neither_skipped_nor_acknowledged() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    let unknown = || record(10, 20, vec![Change::Unknown { kind: 9, needs_protocol: 3 }]);
    let effects = bench.hear(unknown());
    assert_eq!(effects[0], Effect::Note(Note::NeedsProtocol { kind: 9, needs_protocol: 3 }));
    assert!(reconnects(&effects) >= Duration::from_secs(5), "slowly");
    assert_eq!(bench.replica.voided(), Some(Void::Unappliable));
    assert_eq!(bench.session.status().needs_protocol, Some(3));
    // It goes on from before that record, and asks for no lease meanwhile.
    assert_eq!(bench.hello().resume, Some(revision(10)));
    assert_eq!(bench.hear(welcome(Some(10), 20))[1..], [ack(10)]);
    assert_eq!(bench.later(RENEW_EVERY), []);
    bench.hear(unknown());
    // A snapshot would skip it.
    bench.hello();
    reconnects(&bench.hear(welcome(None, 20)));
    // Until the authority has it in a form that is known here.
    bench.hello();
    bench.hear(welcome(Some(10), 20));
    let effects = bench.hear(record(10, 20, Vec::new()));
    assert_eq!(effects[0], ack(20));
    assert!(matches!(effects[1], Effect::Send(ToAuthority::Renew { .. })), "{effects:?}");
}

#[test]
fn a_silent_stream_is_given_up_and_the_next_goes_on_from_the_watermark() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    bench.hear(heartbeat(30));
    bench.later(Duration::from_secs(3));
    let effects = bench.later(Duration::from_secs(1));
    assert_eq!(effects[..2], [Effect::Note(Note::StreamSilent), Effect::Disconnect]);
    assert_eq!(bench.lease(), Some(1), "silence voids nothing");
    let hello = bench.hello();
    assert_eq!((hello.epoch, hello.resume, hello.head), (2, Some(revision(30)), Some(head(30))));
    let effects = bench.hear(welcome(Some(30), 30));
    assert_eq!(effects[1..], [ack(10), renew(3)]);
    // The renewals of the old stream count no more.
    bench.hear(grant(2));
    assert_eq!(bench.lease(), Some(1));
}

#[test]
fn another_token_opens_another_stream_of_the_same_session() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    let effects = bench.input(Input::TokenChanged);
    assert_eq!(effects, [Effect::Disconnect, Effect::AsksFailed, Effect::Connect { after: Duration::ZERO }]);
    assert_eq!(bench.lease(), Some(1));
    let hello = bench.hello();
    assert_eq!((hello.epoch, hello.resume), (2, Some(revision(10))));
}

#[test]
fn a_refused_hello_ends_nothing() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    for (why, slow) in [(Refusal::Unavailable, false), (Refusal::UnknownNamespace, false), (Refusal::Forbidden, true)] {
        bench.input(Input::Disconnected);
        bench.hello();
        let refused = Refused { why, message: "no".to_owned() };
        let after = reconnects(&bench.hear(ToVerifier::Refused(refused)));
        assert_eq!(after > Duration::from_secs(2), slow, "{why:?}: {after:?}");
        assert_eq!(bench.lease(), Some(1));
    }
}

#[test]
fn a_session_that_the_authority_will_not_have_gives_way_to_another_while_its_lease_runs_on() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    // The new token is of another credential, and a session's credential is fixed for its life.
    bench.input(Input::TokenChanged);
    bench.hello();
    let refused = Refused { why: Refusal::Invalid, message: "another's".to_owned() };
    let effects = bench.hear(ToVerifier::Refused(refused.clone()));
    let lost = SessionLost::Refused { message: "another's".to_owned() };
    let expect = [Effect::Note(Note::Refused(refused)), Effect::AsksFailed, Effect::Disconnect, Effect::Lost(lost)];
    assert_eq!(effects, expect);
    assert_eq!(bench.lease(), Some(1), "a refused hello ends nothing");
    let fresh = SessionId::from_bytes([8; 16]);
    bench.session = bench.session.successor(fresh, bench.now);
    let effects = bench.input(Input::Tick);
    assert!(matches!(effects[..], [Effect::Connect { after }] if after > Duration::ZERO), "no hammering: {effects:?}");
    let hello = bench.hello();
    assert_eq!((hello.session, hello.resume), (fresh, None));
    bench.hear(welcome(None, 10));
    bench.hear(ToVerifier::SnapshotBegin { at: revision(10) });
    bench.hear(ToVerifier::SnapshotEnd { at: revision(10) });
    bench.hear(grant(2));
    assert_eq!(bench.lease(), Some(2));
}

#[test]
fn an_ended_token_ends_the_session_with_a_goodbye() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    let effects = bench.hear(ToVerifier::End { reason: "revoked".to_owned() });
    let lost = SessionLost::TokenEnded { reason: "revoked".to_owned() };
    let goodbye = Effect::Send(ToAuthority::Goodbye);
    assert_eq!(effects, [Effect::AsksFailed, goodbye, Effect::Disconnect, Effect::Lost(lost)]);
    assert_eq!(bench.replica.voided(), Some(Void::Ended));
    assert_eq!(bench.hear(grant(1)), []);
    assert_eq!(bench.input(Input::AskWatermark), [Effect::AsksFailed]);
    assert!(bench.session.status().ended);
}

#[test]
fn a_session_that_the_authority_ended_has_a_successor() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    let effects = bench.hear(ToVerifier::Ended);
    assert_eq!(effects, [Effect::AsksFailed, Effect::Disconnect, Effect::Lost(SessionLost::Ended)]);
    assert_eq!(bench.replica.voided(), Some(Void::Ended));
    let fresh = SessionId::from_bytes([8; 16]);
    bench.session = bench.session.successor(fresh, bench.now);
    let effects = bench.input(Input::Tick);
    assert!(matches!(effects[..], [Effect::Connect { after }] if after > Duration::ZERO), "no hammering: {effects:?}");
    let hello = bench.hello();
    assert_eq!((hello.session, hello.resume, hello.epoch), (fresh, None, 1));
    bench.hear(welcome(None, 10));
    bench.hear(ToVerifier::SnapshotBegin { at: revision(10) });
    let effects = bench.hear(ToVerifier::SnapshotEnd { at: revision(10) });
    assert_eq!(effects[1..], [ack(10), renew(2)], "no number is used twice");
}

#[test]
fn what_is_claimed_is_what_was_there_before_and_nothing_of_its_own() {
    let place = Place { boot: [1; 16], device: 2, inode: 3 };
    let before = [SessionId::from_bytes([1; 16]), SessionId::from_bytes([2; 16])];
    let config = SessionConfig { place: Some(place), claims: before.to_vec(), ..Bench::new().session.config().clone() };
    let mut bench = Bench { session: Session::new(config, START), ..Bench::new() };
    bench.input(Input::Tick);
    let hello = bench.hello();
    assert_eq!((hello.place, hello.claims), (Some(place), before.to_vec()));
    // One is confirmed; the other is claimed again, also by the session that follows in this process.
    let confirmed = vec![before[0]];
    let effects = bench.hear(ToVerifier::Succeeded { sessions: confirmed.clone() });
    assert_eq!(effects, [Effect::Succeeded { sessions: confirmed }]);
    bench.hear(ToVerifier::Ended);
    bench.session = bench.session.successor(SessionId::from_bytes([8; 16]), bench.now);
    bench.input(Input::Tick);
    let hello = bench.hello();
    assert_eq!((hello.place, hello.claims), (Some(place), vec![before[1]]), "and not the one that was just lost");
}

#[test]
fn goodbye_is_said_after_the_void() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    let effects = bench.input(Input::Leave);
    assert_eq!(effects, [Effect::AsksFailed, Effect::Send(ToAuthority::Goodbye), Effect::Disconnect]);
    assert_eq!(bench.replica.voided(), Some(Void::Goodbye));
    assert_eq!(bench.input(Input::Tick), []);
    // Without a stream there is nobody to say it to.
    let mut bench = Bench::new();
    bench.input(Input::Tick);
    assert_eq!(bench.input(Input::Leave), [Effect::AsksFailed, Effect::Disconnect]);
}

#[test]
fn an_authority_that_went_back_is_not_followed() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    bench.input(Input::Disconnected);
    bench.hello();
    let effects = bench.hear(welcome(Some(10), 9));
    let fault = Fault::WentBack { known: revision(10), head: revision(9) };
    assert_eq!(effects[..2], [Effect::Note(Note::Fault(fault)), Effect::Disconnect]);
    assert!(reconnects(&effects) >= Duration::from_secs(5));
    assert_eq!(bench.replica.voided(), Some(Void::Unappliable));
}

/// S19: another store, or one that has gone back. Lease and grace go first, then all of it is taken anew.
#[test]
fn another_store_is_taken_from_its_beginning() {
    // By its word, or by its number alone.
    for (welcome, at) in [(foreign(99), 99), (foreign(5), 5), (welcome(None, 5), 5)] {
        let mut bench = Bench::live();
        bench.hear(grant(1));
        bench.hear(heartbeat(30));
        bench.input(Input::Disconnected);
        bench.hello();
        let effects = bench.hear(welcome);
        let note = Note::OtherStore { known: revision(30), head: revision(at) };
        assert_eq!(effects[0], Effect::Note(note));
        assert_eq!((bench.replica.voided(), bench.replica.lease()), (Some(Void::OtherStore), None));
        assert_eq!(bench.replica.log().last(), Some(&book::Entry::Anew));
        bench.hear(ToVerifier::SnapshotBegin { at: revision(4) });
        let effects = bench.hear(ToVerifier::SnapshotEnd { at: revision(4) });
        assert!(effects.contains(&ack(4)), "{effects:?}");
        assert_eq!(bench.replica.watermark(), revision(4));
    }
}

/// An authority before protocol 3 judges no head, so that one which has gone back may be an old state of the same store.
#[test]
fn an_older_authority_that_went_back_is_not_taken_for_another() {
    let mut bench = Bench::live();
    bench.input(Input::Disconnected);
    bench.hello();
    let ToVerifier::Welcome(older) = welcome(None, 9) else { panic!("no welcome") };
    let effects = bench.hear(ToVerifier::Welcome(Welcome { protocol: PROTOCOL_OF_HEADS - 1, ..older }));
    let fault = Fault::WentBack { known: revision(10), head: revision(9) };
    assert_eq!(effects[..2], [Effect::Note(Note::Fault(fault)), Effect::Disconnect]);
    assert_eq!(bench.replica.watermark(), revision(10));
}

/// What was granted before counts no more, and is not granted by a late answer either.
#[test]
fn no_grant_of_before_survives_another_store() {
    let mut bench = Bench::live();
    bench.input(Input::Disconnected);
    bench.hello();
    bench.hear(foreign(99));
    bench.hear(grant(1));
    assert_eq!(bench.replica.lease(), None);
}

#[test]
fn a_rollback_of_the_authority_drops_lease_and_grace_at_any_time() {
    let refused = || Refused { why: Refusal::Rollback, message: "start it from a folder that knows 30".to_owned() };
    for live in [true, false] {
        let mut bench = Bench::live();
        bench.hear(grant(1));
        bench.hear(heartbeat(30));
        if !live {
            bench.input(Input::Disconnected);
            bench.hello();
        }
        let effects = bench.hear(ToVerifier::Refused(refused()));
        assert_eq!(effects[..2], [Effect::Note(Note::Refused(refused())), Effect::Disconnect]);
        assert!(reconnects(&effects) >= Duration::from_secs(5));
        assert_eq!((bench.replica.voided(), bench.replica.lease()), (Some(Void::Rollback), None));
        // What is held is newer than what the authority has: it is shown again, and gone on from.
        let hello = bench.hello();
        assert_eq!((hello.resume, hello.head.map(|head| head.revision)), (Some(revision(30)), Some(revision(30))));
    }
}

#[test]
fn a_head_that_goes_back_on_a_stream_is_no_authority() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    bench.hear(heartbeat(30));
    let effects = bench.hear(heartbeat(29));
    let fault = Fault::WentBack { known: revision(30), head: revision(29) };
    assert_eq!(effects[..2], [Effect::Note(Note::Fault(fault)), Effect::Disconnect]);
    assert_eq!(bench.replica.lease(), None);
}

#[test]
fn a_watermark_is_asked_for_and_applied_before_it_is_told() {
    let mut bench = Bench::live();
    assert_eq!(
        bench.input(Input::AskWatermark),
        [Effect::Asked { request: 2 }, Effect::Send(ToAuthority::Ask { request: 2 })]
    );
    bench.hear(record(10, 20, Vec::new()));
    let answer = ToVerifier::Watermark { request: 2, watermark: revision(25) };
    assert_eq!(bench.hear(answer), [Effect::Watermark { request: 2 }]);
    assert_eq!(bench.replica.watermark(), revision(25));
    let effects = bench.input(Input::Disconnected);
    assert_eq!(effects[0], Effect::AsksFailed);
    assert_eq!(bench.input(Input::AskWatermark), [Effect::AsksFailed]);
}

#[test]
fn a_snapshot_on_a_live_stream_stops_everything_until_it_is_whole() {
    let mut bench = Bench::live();
    bench.hear(grant(1));
    assert_eq!(bench.hear(ToVerifier::SnapshotBegin { at: revision(40) }), [Effect::AsksFailed]);
    assert_eq!(bench.later(RENEW_EVERY), [], "no renewal without a whole state");
    bench.hear(heartbeat(50));
    assert_eq!(bench.replica.watermark(), revision(10));
    // The old state is whole until then, and the next stream may go on from it.
    bench.input(Input::Disconnected);
    assert_eq!(bench.hello().resume, Some(revision(10)));
}

#[test]
fn what_comes_out_of_turn_voids_the_lease() {
    let namespace = || "acme".parse().unwrap();
    let out_of_turn: [fn() -> ToVerifier; 4] = [
        || welcome(None, 10),
        || ToVerifier::SnapshotEnd { at: revision(10) },
        || {
            ToVerifier::SnapshotRows(SnapshotPart {
                namespace: "acme".parse().unwrap(),
                policy: policy(),
                rows: Vec::new(),
                set_hash: None,
            })
        },
        || ToVerifier::Refused(Refused { why: Refusal::Invalid, message: "late".to_owned() }),
    ];
    for message in out_of_turn {
        let mut bench = Bench::live();
        bench.hear(grant(1));
        let effects = bench.hear(message());
        assert!(matches!(effects[0], Effect::Note(Note::Fault(Fault::Unexpected(_)))), "{effects:?}");
        assert_eq!(bench.replica.voided(), Some(Void::Unappliable));
    }
    // Rows of a namespace that is not served, a record within a snapshot, another end than the beginning.
    let foreign = || {
        ToVerifier::SnapshotRows(SnapshotPart {
            namespace: "zeta".parse().unwrap(),
            policy: policy(),
            rows: Vec::new(),
            set_hash: None,
        })
    };
    let within: [fn() -> ToVerifier; 3] =
        [foreign, || record(10, 20, Vec::new()), || ToVerifier::SnapshotEnd { at: revision(41) }];
    for message in within {
        let mut bench = Bench::live();
        bench.hear(ToVerifier::SnapshotBegin { at: revision(40) });
        bench.hear(ToVerifier::SnapshotRows(SnapshotPart {
            namespace: namespace(),
            policy: policy(),
            rows: Vec::new(),
            set_hash: None,
        }));
        let effects = bench.hear(message());
        assert!(matches!(effects[0], Effect::Note(Note::Fault(Fault::Unexpected(_)))), "{effects:?}");
        assert!(!bench.replica.log().contains(&Entry::SnapshotEnd(revision(40))));
        assert_eq!(bench.hello().resume, None);
    }
}

#[test]
fn leases_go_on_for_as_long_as_renewals_are_granted() {
    let mut bench = Bench::live();
    for request in 1..40 {
        bench.hear(grant(request));
        bench.hear(heartbeat(10 + request));
        let lease = bench.replica.lease().unwrap();
        assert!(lease.remaining(bench.now.boot) > LEASE - RENEW_EVERY - Duration::from_millis(1));
        assert_eq!(bench.session.next_wakeup(), bench.now.boot.plus(RENEW_EVERY));
        assert_eq!(bench.later(RENEW_EVERY), [renew(request + 1)]);
    }
}
