//! What is signed here is checked by whoever holds it, with `jeton_client::receipt`.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jeton_api::receipt::{ReceiptPayload, TYP};
use jeton_client::receipt::{CheckError, check};
use jeton_feed::authority::{Evidence, EvidenceKind, ReceiptFacts};
use jeton_types::{Freshness, Revision, RevocationId, SessionId, StartId, TokenId, UnixTime, VerifierName};
use serde_json::json;

use super::{Background, payload};
use crate::keys::{Keyring, tests::Fixed};

const COMMITTED: UnixTime = UnixTime::from_micros(1_767_323_045_678_901);

fn keyring(seed: u8) -> Keyring {
    Keyring::open(&tempfile::tempdir().unwrap().path().join("keys"), &Fixed(seed)).unwrap()
}

fn facts() -> ReceiptFacts {
    let evidence = |verifier: &str, session: Option<u8>, state, after| Evidence {
        verifier: verifier.parse().unwrap(),
        session: session.map(|session| SessionId::from_bytes([session; 16])),
        state,
        at: Some(COMMITTED.plus(Duration::from_secs(after))),
        silent_since: (state == EvidenceKind::Fenced).then_some(COMMITTED),
        stops_by: None,
    };
    ReceiptFacts {
        revocation: RevocationId::from_bytes([1; 16]),
        namespace: "acme".parse().unwrap(),
        revision: Revision::new(1_767_323_045_678_901).unwrap(),
        committed_at: COMMITTED,
        complete: true,
        completed_at: Some(COMMITTED.plus(Duration::from_secs(7))),
        evidence: vec![
            evidence(VerifierName::AUTHORITY, None, EvidenceKind::Acked, 0),
            evidence("edge-1", Some(1), EvidenceKind::Acked, 1),
            evidence("edge-2", Some(2), EvidenceKind::Fenced, 7),
        ],
    }
}

fn receipt(facts: &ReceiptFacts) -> ReceiptPayload {
    let background = Background {
        effect: jeton_api::revocation::Effect::Revoke,
        freshness: Freshness::Strict,
        start: StartId::from_bytes([4; 16]),
        tokens: vec![TokenId::from_bytes([5; 16])],
        signed_at: COMMITTED.plus(Duration::from_secs(8)),
        succession: true,
    };
    payload(facts, background).unwrap()
}

#[test]
fn what_was_signed_is_checked() {
    let keys = keyring(1);
    let payload = receipt(&facts());
    let jws = keys.sign(&payload).unwrap();
    assert_eq!(check(&jws, &keys.jwks()), Ok(payload));
    let other = keyring(2);
    assert!(matches!(check(&jws, &other.jwks()), Err(CheckError::UnknownKey { .. })));
}

#[test]
fn any_one_changed_character_is_noticed() {
    let keys = keyring(1);
    let jws = keys.sign(&receipt(&facts())).unwrap();
    let set = keys.jwks();
    for place in 0..jws.len() {
        for with in ["A", "B", "Z", "a", "9", "-", "_", "=", "+", "/", ".", "\n", "ü"] {
            if jws[place..].starts_with(with) {
                continue;
            }
            let mut changed = jws.clone();
            changed.replace_range(place..=place, with);
            assert!(check(&changed, &set).is_err(), "{with:?} at {place}");
        }
        // The neighbour in the alphabet: for the last character of a part it differs in bits that carry nothing.
        let mut changed = jws.clone().into_bytes();
        changed[place] ^= 1;
        if let Ok(changed) = String::from_utf8(changed) {
            assert!(check(&changed, &set).is_err(), "the neighbour at {place}");
        }
    }
    for changed in [format!("{jws}\n"), format!(" {jws}"), format!("{jws}="), jws[..jws.len() - 1].to_owned()] {
        assert!(check(&changed, &set).is_err(), "{changed:?}");
    }
}

#[test]
fn other_headers_are_refused_even_if_signed() {
    let keys = keyring(1);
    let kid = keys.jwks().keys[0].kid.clone();
    let jws = keys.sign(&receipt(&facts())).unwrap();
    let rest = jws.split_once('.').unwrap().1;
    for header in [
        json!({"typ": TYP, "alg": "none", "kid": kid}),
        json!({"typ": TYP, "alg": "HS256", "kid": kid}),
        json!({"typ": TYP, "alg": "Ed25519", "kid": kid}),
        json!({"typ": "JWT", "alg": "EdDSA", "kid": kid}),
        json!({"typ": TYP, "alg": "EdDSA", "kid": kid, "crit": ["b64"]}),
        json!({"typ": TYP, "alg": "EdDSA"}),
        json!([]),
    ] {
        let text = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
        let found = check(&format!("{text}.{rest}"), &keys.jwks());
        assert!(matches!(found, Err(CheckError::Header(_))), "{header}: {found:?}");
    }
}

#[test]
fn a_signed_receipt_that_does_not_hold_is_refused() {
    let keys = keyring(1);
    let mut no_silence = facts();
    no_silence.evidence[2].silent_since = None;
    let jws = keys.sign(&receipt(&no_silence)).unwrap();
    assert!(matches!(check(&jws, &keys.jwks()), Err(CheckError::Evidence(_))));
    let jws = keys.sign(&json!({"sub": "x"})).unwrap();
    assert!(matches!(check(&jws, &keys.jwks()), Err(CheckError::Payload(_))));
}

#[test]
fn a_key_under_a_foreign_id_is_refused() {
    let (keys, other) = (keyring(1), keyring(2));
    let jws = keys.sign(&receipt(&facts())).unwrap();
    let mut set = keys.jwks();
    set.keys[0].x = other.jwks().keys[0].x.clone();
    assert!(matches!(check(&jws, &set), Err(CheckError::BadKey { .. })));
}

#[test]
fn a_pending_receipt_is_never_signed() {
    let mut pending = facts();
    pending.complete = false;
    let background = Background {
        effect: jeton_api::revocation::Effect::Revoke,
        freshness: Freshness::Strict,
        start: StartId::from_bytes([4; 16]),
        tokens: Vec::new(),
        signed_at: COMMITTED,
        succession: true,
    };
    assert!(payload(&pending, background).is_none());
}
