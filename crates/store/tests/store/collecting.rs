//! What expired long ago is forgotten by verifiers, and no token before its time.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use jeton_feed::record::Change;
use jeton_store::{
    StoreError, TOKENS_COLLECTED_MAX,
    model::{
        Burn, Caller, CredentialChange, CredentialDelete, CredentialPatch, IssueNew, Selector, SnapshotItem, TokenRow,
        TokensCollected,
    },
};
use jeton_types::{ScopeSet, TokenId, UnixTime};

use crate::world::{Backend, World, issue_new, named, scopes, span};

conformance! {
    a_token_goes_no_earlier_than_its_expiry,
    what_has_gone_stays_gone_and_stays_known,
    many_go_in_small_records,
}

async fn issue(world: &World<impl Backend>, name: &str, ttl: Option<&str>) -> TokenRow {
    let new = IssueNew { ttl: ttl.map(span), ..issue_new(name) };
    world.store.credential_issue(Caller::System, new).await.unwrap().token
}

async fn collect(world: &World<impl Backend>, name: &str, expired: UnixTime) -> Option<TokensCollected> {
    world.store.tokens_collect(name.parse().unwrap(), expired).await.unwrap()
}

/// What verifiers are fed of `acme`.
async fn fed(world: &World<impl Backend>) -> Vec<TokenId> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&found);
    let sink = move |item| {
        if let SnapshotItem::Rows(part) = item {
            into.lock().unwrap().extend(part.rows.into_iter().map(|row| row.token));
        }
        ControlFlow::Continue(())
    };
    world.store.snapshot(vec!["acme".parse().unwrap()], sink).await.unwrap();
    let mut found = std::mem::take(&mut *found.lock().unwrap());
    found.sort_unstable();
    found
}

async fn a_token_goes_no_earlier_than_its_expiry<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let short = issue(&world, "acme/short", Some("100s")).await;
    let ended = issue(&world, "acme/ended", Some("200s")).await;
    let endless = issue(&world, "acme/endless", None).await;
    let rotated = issue(&world, "acme/rotated", None).await;
    for token in [&ended, &endless] {
        world.revoke(Selector::token(token.id)).await.unwrap();
    }
    let next = world.store.credential_rotate(Caller::System, named("acme/rotated"), span("150s")).await.unwrap();
    let began = world.store.authority_time();
    let at = |seconds: u64| began.plus(Duration::from_secs(seconds));
    let all = fed(&world).await;
    assert_eq!(all.len(), 5);
    // Whatever is asked for, nothing goes before it has expired; least of all what has ended, while a copy of it could live.
    assert_eq!(collect(&world, "acme", UnixTime::from_micros(u64::MAX >> 1)).await, None);
    world.clock.advance(Duration::from_secs(170));
    assert_eq!(collect(&world, "acme", at(99)).await, None);
    let head = world.store.head().await.unwrap().revision;
    let first = collect(&world, "acme", at(100)).await.unwrap();
    assert!(first.revision > head && first.count == 1);
    let record = world.store.record(first.revision).await.unwrap().unwrap();
    assert_eq!(record.changes, [Change::Collected { digest: short.digest, token: short.id }]);
    assert_eq!(
        collect(&world, "acme", at(200)).await.map(|gone| gone.count),
        Some(1),
        "the rotated one, at its deadline"
    );
    world.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(collect(&world, "acme", at(199)).await, None);
    assert_eq!(collect(&world, "acme", at(1_000_000)).await.map(|gone| gone.count), Some(1), "the one that was ended");
    assert_eq!(collect(&world, "acme", at(1_000_000)).await, None);
    let mut left = vec![endless.id, next.token.id];
    left.sort_unstable();
    assert_eq!(fed(&world).await, left, "a tombstone without an expiry stays for ever");
    for gone in [short.id, ended.id, rotated.id] {
        assert!(world.store.token(gone).await.unwrap().unwrap().collected.is_some());
    }
    let entries = world.store.audit_list(None, 0, 999).await.unwrap();
    let entry = entries.iter().find(|link| link.entry.revision == first.revision).unwrap();
    let (action, reason) = (entry.entry.action.as_str(), entry.entry.reason.as_deref());
    assert_eq!((action, reason), ("token.collect", Some("1 tokens had expired long before")));
    let missing = world.store.tokens_collect("none".parse().unwrap(), began).await;
    assert_eq!(missing, Err(StoreError::NotFound("namespace")));
}

async fn what_has_gone_stays_gone_and_stays_known<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let gone = issue(&world, "acme/gone", Some("100s")).await;
    let ended = issue(&world, "acme/ended", Some("100s")).await;
    let revoked = world.revoke(Selector::token(ended.id)).await.unwrap().revocation;
    let own = IssueNew { scopes: scopes(&["verifier@acme"]), ttl: Some(span("100s")), ..issue_new("jeton/edge") };
    world.store.credential_issue(Caller::System, own).await.unwrap();
    world.clock.advance(Duration::from_secs(1_000));
    let now = world.store.authority_time();
    assert_eq!(collect(&world, "jeton", now).await, None, "it is never fed");
    let collected = collect(&world, "acme", now).await.unwrap();
    assert_eq!(collected.count, 2);
    assert_eq!(fed(&world).await, []);

    let world = world.reopened("second");
    world.store.start_record(jeton_types::StartId::from_bytes([2; 16])).await.unwrap();
    let store = &world.store;
    let known = |row: &TokenRow| TokenRow { collected: Some(collected.revision), ..row.clone() };
    assert_eq!(store.token(gone.id).await, Ok(Some(known(&gone))));
    let row = store.token_by_digest(ended.digest).await.unwrap().unwrap().0;
    assert_eq!((row.ended.map(|ended| ended.revocation), row.collected), (Some(revoked.id), Some(collected.revision)));
    assert_eq!(store.revocation_of_token(ended.id).await.unwrap().map(|row| row.id), Some(revoked.id));
    assert!(
        world.revoke(Selector::token(ended.id)).await.is_ok_and(|again| !again.fresh && again.tokens == [ended.id])
    );

    // No change of its credential tells verifiers of it again, and there is nothing left to end.
    let id = gone.credential;
    for change in [
        CredentialChange { scopes: Some(ScopeSet::parse(["a"]).unwrap()), ..CredentialChange::default() },
        CredentialChange { disabled: Some(true), ..CredentialChange::default() },
        CredentialChange { disabled: Some(false), ..CredentialChange::default() },
    ] {
        let patch = CredentialPatch { change, ..CredentialPatch::default() };
        let patched = store.credential_patch(Caller::System, id, patch).await.unwrap();
        let record = store.record(patched.revision).await.unwrap().unwrap();
        assert_eq!(record.changes, [], "{record:?}");
    }
    assert_eq!(world.revoke(Selector::token(gone.id)).await, Err(StoreError::LongExpired));
    let burn = Burn { digest: gone.digest, prefix: "acme_live".parse().unwrap(), address: None, reason: None };
    assert_eq!(store.token_burn(burn).await, Ok(None));
    // A rotation goes on from its version.
    let rotated = store.credential_rotate(Caller::System, named("acme/gone"), span("100s")).await.unwrap();
    assert_eq!((rotated.token.version, rotated.previous), (2, known(&gone)));
    assert_eq!(fed(&world).await, [rotated.token.id]);
    let deleted = store.credential_delete(Caller::System, id, CredentialDelete::default()).await.unwrap();
    let record = store.record(deleted.revision).await.unwrap().unwrap();
    assert!(matches!(record.changes[..], [Change::End { token, .. }] if token == rotated.token.id), "{record:?}");
    assert_eq!(collect(&world, "acme", world.store.authority_time()).await, None, "nothing goes twice");
}

async fn many_go_in_small_records<B: Backend>() {
    let world = World::<B>::with_acme().await;
    for number in 0..=TOKENS_COLLECTED_MAX {
        issue(&world, &format!("acme/c{number}"), Some(if number == 7 { "100s" } else { "200s" })).await;
    }
    world.clock.advance(Duration::from_secs(1_000));
    let now = world.store.authority_time();
    let first = collect(&world, "acme", now).await.unwrap();
    assert_eq!(first.count, TOKENS_COLLECTED_MAX);
    let record = world.store.record(first.revision).await.unwrap().unwrap();
    let seventh = world.store.credential(named("acme/c7")).await.unwrap().unwrap();
    let seventh = world.store.tokens(seventh.id).await.unwrap().remove(0);
    assert_eq!(
        record.changes[0],
        Change::Collected { digest: seventh.digest, token: seventh.id },
        "the first to expire"
    );
    assert_eq!(fed(&world).await.len(), 1);
    assert_eq!(collect(&world, "acme", now).await.map(|rest| rest.count), Some(1));
    assert_eq!(fed(&world).await, []);
    assert_eq!(collect(&world, "acme", now).await, None);
}
