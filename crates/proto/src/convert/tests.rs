use jeton_feed::{
    frame::Frame,
    message::{Grant, Hello, Refused, SnapshotPart, ToAuthority, ToVerifier, Welcome},
    record::{Change, EndReason, Head, Policy, Record, TokenEntry},
    usage::{Report, Seen},
};
use jeton_types::{AddressList, CredentialId, Digest, Freshness, Prefix, Scope, ScopeSet, Span, StartId, TokenId};
use proptest::{collection::vec, option, prelude::*};
use prost::Message;

use super::*;

fn revision_any() -> impl Strategy<Value = Revision> {
    (0..Revision::LIMIT).prop_map(|value| Revision::new(value).unwrap())
}

fn time() -> impl Strategy<Value = UnixTime> {
    any::<u64>().prop_map(UnixTime::from_micros)
}

fn start() -> impl Strategy<Value = StartId> {
    any::<[u8; 16]>().prop_map(StartId::from_bytes)
}

fn hash_any() -> impl Strategy<Value = Hash32> {
    any::<[u8; 32]>().prop_map(Hash32)
}

fn namespace() -> impl Strategy<Value = NamespaceName> {
    "[a-z][a-z0-9-]{0,20}".prop_map(|text| text.parse().unwrap())
}

fn head() -> impl Strategy<Value = Head> {
    (revision_any(), start(), hash_any(), option::of(hash_any())).prop_map(|(revision, start, chain_hash, mac)| Head {
        revision,
        start,
        chain_hash,
        mac,
    })
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let freshness = prop_oneof![
        Just(Freshness::Strict),
        (1_000..=3_600_000_u64).prop_map(|millis| Freshness::Grace(Span::from_millis(millis)))
    ];
    ("[a-z][a-z0-9]{1,6}(_[a-z0-9]{1,6}){0,2}", freshness, any::<bool>())
        .prop_map(|(prefix, freshness, disabled)| Policy { prefix: prefix.parse().unwrap(), freshness, disabled })
}

fn scopes() -> impl Strategy<Value = ScopeSet> {
    vec("[a-z]{1,8}:[a-z*@.-]{1,8}", 0..6)
        .prop_map(|texts| ScopeSet::new(texts.iter().map(|text| text.parse::<Scope>().unwrap())).unwrap())
}

pub(crate) fn entry() -> impl Strategy<Value = TokenEntry> {
    let ids = (any::<[u8; 32]>(), any::<[u8; 16]>(), any::<[u8; 16]>());
    let subject = option::of("[!-~]([ -~]{0,30}[!-~])?");
    let flags = (any::<bool>(), option::of(Just(EndReason::Revoked)));
    (ids, subject, scopes(), option::of(time()), addresses(), flags).prop_map(
        |((digest, token, credential), subject, scopes, expires_at, addresses, (disabled, ended))| TokenEntry {
            digest: Digest::from_bytes(digest),
            token: TokenId::from_bytes(token),
            credential: CredentialId::from_bytes(credential),
            subject: subject.map(|text| text.parse().unwrap()),
            scopes,
            expires_at,
            addresses,
            disabled,
            ended,
        },
    )
}

fn addresses() -> impl Strategy<Value = AddressList> {
    vec(any::<std::net::IpAddr>().prop_map(|address| address.to_string()), 0..4)
        .prop_map(|texts| AddressList::parse(texts.iter().map(String::as_str)).unwrap())
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let ids = (any::<[u8; 32]>(), any::<[u8; 16]>())
        .prop_map(|(digest, token)| (Digest::from_bytes(digest), TokenId::from_bytes(token)));
    prop_oneof![
        policy().prop_map(Change::Policy),
        entry().prop_map(Change::Token),
        (ids.clone(), time()).prop_map(|((digest, token), expires_at)| Change::Deadline { digest, token, expires_at }),
        ids.clone().prop_map(|(digest, token)| Change::End { digest, token, reason: EndReason::Revoked }),
        ids.prop_map(|(digest, token)| Change::Collected { digest, token }),
        start().prop_map(Change::Start),
        any::<(u32, u32)>().prop_map(|(kind, needs_protocol)| Change::Unknown { kind, needs_protocol }),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let place = (1..Revision::LIMIT)
        .prop_flat_map(|revision| (0..revision).prop_map(move |before| (revision, before)))
        .prop_map(|(revision, before)| (Revision::new(revision).unwrap(), Revision::new(before).unwrap()));
    (place, namespace(), start(), hash_any(), option::of(hash_any()), time(), vec(change(), 0..5)).prop_map(
        |((revision, predecessor), namespace, start, chain_hash, set_hash, committed_at, changes)| Record {
            revision,
            predecessor,
            namespace,
            start,
            chain_hash,
            set_hash,
            committed_at,
            changes,
        },
    )
}

fn hello() -> impl Strategy<Value = Hello> {
    let names = proptest::collection::btree_set(namespace(), 1..5);
    let protocols = (0..9_u32, 0..9_u32);
    let rest = (any::<[u8; 16]>(), "[A-Za-z0-9][A-Za-z0-9._-]{0,20}", any::<u64>());
    let place = option::of((any::<[u8; 16]>(), any::<u64>(), any::<u64>(), vec(any::<[u8; 16]>(), 0..4)));
    (protocols, rest, names, option::of(revision_any()), option::of(hash_any()), option::of(head()), place).prop_map(
        |((oldest, more), (session, verifier, epoch), namespaces, resume, set_hash, head, place)| Hello {
            protocol_oldest: oldest,
            protocol: oldest + more,
            session: SessionId::from_bytes(session),
            verifier: verifier.parse().unwrap(),
            epoch,
            set_hashes: set_hash.map_or(Vec::new(), |hash| vec![hash; namespaces.len()]),
            namespaces: namespaces.into_iter().collect(),
            resume,
            head,
            place: place.as_ref().map(|(boot, device, inode, _)| Place { boot: *boot, device: *device, inode: *inode }),
            claims: place.map_or(Vec::new(), |(.., claims)| claims.into_iter().map(SessionId::from_bytes).collect()),
        },
    )
}

fn seen() -> impl Strategy<Value = Seen<UnixTime>> {
    (time(), time(), 1..u64::MAX).prop_map(|(a, b, count)| Seen { first: a.min(b), last: a.max(b), count })
}

fn usage() -> impl Strategy<Value = Report> {
    let token = || any::<[u8; 16]>().prop_map(TokenId::from_bytes);
    let presented = vec((token(), option::of(any::<std::net::IpAddr>()), seen()), 0..4);
    (any::<u64>(), time(), any::<bool>(), vec((token(), seen()), 0..4), presented)
        .prop_map(|(number, until, last, uses, presented)| Report { number, until, last, uses, presented })
}

fn to_authority() -> impl Strategy<Value = ToAuthority> {
    prop_oneof![
        hello().prop_map(ToAuthority::Hello),
        revision_any().prop_map(|revision| ToAuthority::Ack { revision }),
        any::<u64>().prop_map(|request| ToAuthority::Renew { request }),
        any::<u64>().prop_map(|request| ToAuthority::Ask { request }),
        usage().prop_map(ToAuthority::Usage),
        Just(ToAuthority::Goodbye),
    ]
}

fn refused() -> impl Strategy<Value = Refused> {
    let why = proptest::sample::select(vec![
        Refusal::Unauthenticated,
        Refusal::Forbidden,
        Refusal::UnknownNamespace,
        Refusal::Protocol,
        Refusal::Invalid,
        Refusal::Unavailable,
        Refusal::Rollback,
        Refusal::TooMany,
    ]);
    (why, ".{0,40}").prop_map(|(why, message)| Refused { why, message })
}

fn to_verifier() -> impl Strategy<Value = ToVerifier> {
    let rest = (any::<bool>(), any::<bool>());
    let welcome = (any::<u32>(), option::of(revision_any()), head(), time(), rest).prop_map(
        |(protocol, resume, head, authority_time, (mismatch, foreign))| Welcome {
            protocol,
            resume,
            mismatch,
            head,
            authority_time,
            foreign,
        },
    );
    prop_oneof![
        welcome.prop_map(ToVerifier::Welcome),
        revision_any().prop_map(|at| ToVerifier::SnapshotBegin { at }),
        (namespace(), policy(), vec(entry(), 0..5), option::of(hash_any())).prop_map(
            |(namespace, policy, rows, set_hash)| ToVerifier::SnapshotRows(SnapshotPart {
                namespace,
                policy,
                rows,
                set_hash
            })
        ),
        revision_any().prop_map(|at| ToVerifier::SnapshotEnd { at }),
        record().prop_map(ToVerifier::Record),
        (record(), 1..u32::MAX, any::<bool>()).prop_map(|(mut record, number, last)| {
            // Of these it matters what an older protocol would make of them.
            record.changes.retain(|change| !matches!(change, Change::Unknown { .. }));
            ToVerifier::Frame(Frame { number, last, record })
        }),
        (revision_any(), time(), head()).prop_map(|(watermark, authority_time, head)| ToVerifier::Heartbeat {
            watermark,
            authority_time,
            head
        }),
        (any::<u64>(), time())
            .prop_map(|(request, authority_time)| ToVerifier::Grant(Grant { request, authority_time })),
        (any::<u64>(), revision_any()).prop_map(|(request, watermark)| ToVerifier::Watermark { request, watermark }),
        ".{0,40}".prop_map(|reason| ToVerifier::End { reason }),
        Just(ToVerifier::Ended),
        any::<u64>().prop_map(|number| ToVerifier::UsageTaken { number }),
        refused().prop_map(ToVerifier::Refused),
        vec(any::<[u8; 16]>(), 0..4).prop_map(|sessions| ToVerifier::Succeeded {
            sessions: sessions.into_iter().map(SessionId::from_bytes).collect(),
        }),
    ]
}

/// Through the bytes, as the transport does it.
fn read<W: Message + Default>(bytes: &[u8]) -> W {
    W::decode(bytes).unwrap()
}

proptest! {
    #[test]
    fn every_message_to_the_authority_comes_back(message in to_authority()) {
        let bytes = wire::ToAuthority::from(message.clone()).encode_to_vec();
        prop_assert_eq!(ToAuthority::try_from(read::<wire::ToAuthority>(&bytes)), Ok(message));
    }

    #[test]
    fn every_message_to_a_verifier_comes_back(message in to_verifier()) {
        let bytes = wire::ToVerifier::from(message.clone()).encode_to_vec();
        prop_assert_eq!(ToVerifier::try_from(read::<wire::ToVerifier>(&bytes)), Ok(message));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        inwards(&bytes);
    }

    #[test]
    fn a_damaged_message_is_read_or_refused(message in to_verifier(), place: prop::sample::Index, to: u8) {
        let mut bytes = wire::ToVerifier::from(message).encode_to_vec();
        if !bytes.is_empty() {
            let place = place.index(bytes.len());
            bytes[place] = to;
        }
        inwards(&bytes);
        inwards(&bytes[..bytes.len() / 2]);
    }
}

/// Neither direction may panic, whatever comes.
fn inwards(bytes: &[u8]) {
    if let Ok(message) = wire::ToVerifier::decode(bytes) {
        let _ = ToVerifier::try_from(message);
    }
    if let Ok(message) = wire::ToAuthority::decode(bytes) {
        let _ = ToAuthority::try_from(message);
    }
}

fn end(kind: u32, needs_protocol: u32, reason: i32) -> wire::Change {
    let body = wire::TokenEnd { digest: vec![1; 32], token: vec![2; 16], reason };
    wire::Change { kind, needs_protocol, body: Some(wire::change::Body::TokenEnd(body)) }
}

#[test]
fn what_is_newer_is_an_unknown_change() {
    const NEWER: u32 = jeton_feed::numbers::PROTOCOL + 1;
    let known = Change::End {
        digest: Digest::from_bytes([1; 32]),
        token: TokenId::from_bytes([2; 16]),
        reason: EndReason::Revoked,
    };
    assert_eq!(Change::try_from(end(6, 1, 1)), Ok(known));
    let unknown = |kind, needs_protocol| Ok(Change::Unknown { kind, needs_protocol });
    assert_eq!(
        Change::try_from(end(6, NEWER, 1)),
        unknown(6, NEWER),
        "a known body that a later protocol gave more meaning"
    );
    assert_eq!(Change::try_from(end(40, NEWER, 1)), unknown(40, NEWER), "a kind that does not name the body");
    assert_eq!(Change::try_from(end(6, 1, 99)), unknown(6, 1), "a reason without a name");
    assert_eq!(Change::try_from(wire::Change::default()), unknown(0, 0));

    // A body of field 40 beside kind 40, as a later authority would send it: the field is skipped by the decoder, the
    // kind is not.
    let mut bytes = wire::Change { kind: 40, needs_protocol: NEWER, body: None }.encode_to_vec();
    bytes.extend([0xc2, 0x02, 0x01, 0x00]);
    assert_eq!(Change::try_from(read::<wire::Change>(&bytes)), unknown(40, NEWER));
}

/// A verifier of protocol 1 has no idea of `disabled`: it must not take such a change for one that it knows.
#[test]
fn what_is_narrower_needs_the_protocol_that_knows_it() {
    let prefix = "acme".parse().unwrap();
    let policy =
        |disabled| Change::Policy(Policy { prefix: Prefix::clone(&prefix), freshness: Freshness::Strict, disabled });
    assert_eq!(wire::Change::from(policy(false)).needs_protocol, 1);
    assert_eq!(wire::Change::from(policy(true)).needs_protocol, 2);
    let entry = |disabled, addresses: &[&str]| TokenEntry {
        digest: Digest::from_bytes([1; 32]),
        token: TokenId::from_bytes([1; 16]),
        credential: CredentialId::from_bytes([1; 16]),
        subject: None,
        scopes: ScopeSet::default(),
        expires_at: None,
        addresses: AddressList::parse(addresses.iter().copied()).unwrap(),
        disabled,
        ended: None,
    };
    let needs =
        |disabled, addresses: &[&str]| wire::Change::from(Change::Token(entry(disabled, addresses))).needs_protocol;
    assert_eq!((needs(false, &[]), needs(true, &[])), (1, 2));
    assert_eq!((needs(false, &["10.0.0.0/8"]), needs(true, &["::1"])), (4, 4), "as of the addresses by protocol 4");
}

/// A verifier of protocol 3 would hold what is collected for ever, and another sum from then on.
#[test]
fn what_is_collected_needs_protocol_4() {
    let collected = Change::Collected { digest: Digest::from_bytes([1; 32]), token: TokenId::from_bytes([1; 16]) };
    let change = wire::Change::from(collected);
    assert_eq!((change.kind, change.needs_protocol), (8, 4));
    // As such a verifier reads it: a field that it does not know.
    let older = wire::Change { body: None, ..change };
    assert_eq!(Change::try_from(older), Ok(Change::Unknown { kind: 8, needs_protocol: 4 }));
}

#[test]
fn the_kinds_are_the_field_numbers() {
    // One length-delimited field of each number, empty: what the decoder takes it for.
    for (number, expect) in
        [(3_u8, "Policy"), (4, "Token"), (5, "Deadline"), (6, "TokenEnd"), (7, "Start"), (8, "Collected")]
    {
        let change = read::<wire::Change>(&[(number << 3) | 2, 0]);
        let shown = format!("{:?}", change.body.clone().unwrap());
        assert!(shown.starts_with(&format!("{expect}(")), "{number}: {shown}");
        let named = wire::Change { kind: number.into(), needs_protocol: 1, ..change };
        assert!(!matches!(Change::try_from(named), Ok(Change::Unknown { needs_protocol: 1, kind: 3..=5 | 7 | 8 })));
    }
}

#[test]
fn what_is_broken_is_refused() {
    let whats = |message: wire::ToVerifier| ToVerifier::try_from(message).unwrap_err().what;
    assert_eq!(whats(wire::ToVerifier { message: None }), "to verifier");
    let ack = wire::ToAuthority { message: Some(wire::to_authority::Message::Ack(wire::Ack { revision: 1 << 53 })) };
    assert_eq!(ToAuthority::try_from(ack).unwrap_err().to_string(), "bad message: ack: a revision is below 2^53");
    let policy = wire::Policy { prefix: "acme".into(), grace_ms: 999, disabled: false };
    assert_eq!(Policy::try_from(policy).unwrap_err().what, "policy grace");

    let good = wire::Hello {
        protocol: 1,
        session: vec![0; 16],
        verifier: "edge-1".into(),
        namespaces: vec!["acme".into()],
        ..Default::default()
    };
    assert!(Hello::try_from(good.clone()).is_ok());
    let bad = [
        (wire::Hello { protocol_oldest: 2, ..good.clone() }, "hello protocol"),
        (wire::Hello { session: vec![0; 15], ..good.clone() }, "hello session"),
        (wire::Hello { verifier: "é".into(), ..good.clone() }, "hello verifier"),
        (wire::Hello { namespaces: vec![], ..good.clone() }, "hello namespaces"),
        (wire::Hello { namespaces: vec!["acme".into(); 2], ..good.clone() }, "hello namespaces"),
        (wire::Hello { set_hashes: vec![vec![0; 32]; 2], ..good.clone() }, "hello set hashes"),
        (wire::Hello { resume: Some(u64::MAX), ..good.clone() }, "hello resume"),
        (wire::Hello { head: Some(wire::Head::default()), ..good.clone() }, "head start"),
        (wire::Hello { boot_id: Some(vec![0; 15]), ..good.clone() }, "hello boot id"),
        (wire::Hello { claims: vec![vec![0; 16]], ..good.clone() }, "hello claims"),
        (wire::Hello { boot_id: Some(vec![0; 16]), claims: vec![vec![0; 16]; 65], ..good.clone() }, "hello claims"),
        (wire::Hello { boot_id: Some(vec![0; 16]), claims: vec![vec![0; 15]], ..good }, "hello claims"),
    ];
    for (hello, what) in bad {
        assert_eq!(Hello::try_from(hello).unwrap_err().what, what);
    }
}

#[test]
fn an_unknown_refusal_keeps_its_message() {
    let refused = wire::Refused { why: 77, message: "upgrade first".into() };
    let message = wire::ToVerifier { message: Some(wire::to_verifier::Message::Refused(refused)) };
    let expect = Refused { why: Refusal::Invalid, message: "upgrade first".into() };
    assert_eq!(ToVerifier::try_from(message), Ok(ToVerifier::Refused(expect)));
}
