use std::time::Duration;

use jeton_feed::record::{Change, EndReason};
use jeton_store::{
    StoreError,
    model::{Caller, CredentialRef, IssueNew, RevokeNew, Revoked, Selector, StoredReceipt},
};
use jeton_types::{Digest, Prefix, RevocationId, TokenId, UnixTime};

use crate::world::{Backend, World, check_chain, issue_new, named, span};

conformance! {
    revoking_a_credential_ends_its_tokens_once,
    one_token_ends_and_the_next_rotation_mints_anew,
    of_one_moment_the_last_revocation_is_told,
    what_is_not_there_is_not_revoked,
    who_may_not_revoke_learns_nothing,
    a_receipt_is_kept_once_and_raises_the_floor,
}

fn secret(digest: Digest, prefix: &str) -> Selector {
    Selector::secret(digest, prefix.parse::<Prefix>().unwrap())
}

fn receipt(text: &str) -> StoredReceipt {
    StoredReceipt { completed_at: UnixTime::from_micros(7), evidence: "[]".to_owned(), jws: text.to_owned() }
}

async fn revoking_a_credential_ends_its_tokens_once<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let first = world.issue("acme/billing").await;
    let second = world.store.credential_rotate(Caller::System, named("acme/billing"), span("1h")).await.unwrap();
    // The first is only expired by now; it is ended all the same.
    world.clock.advance(Duration::from_secs(7_200));
    let new = RevokeNew {
        namespace: Some("acme".parse().unwrap()),
        selector: Selector::credential(named("acme/billing")),
        reason: Some("found in a log".to_owned()),
    };
    let revoked = world.store.revocation_create(Caller::System, new.clone()).await.unwrap();
    assert!(revoked.fresh);
    assert_eq!(revoked.tokens, [first.token.id, second.token.id]);
    let row = &revoked.revocation;
    assert_eq!((row.count, row.actor.as_str(), row.reason.as_deref()), (2, "system", Some("found in a log")));
    assert_eq!(row.selector, format!("{{\"credential\":\"{}\"}}", first.credential.id));
    assert_eq!(world.store.revocation(row.id).await.as_ref(), Ok(&Some(row.clone())));
    for token in [&first.token, &second.token] {
        let ended = world.store.token(token.id).await.unwrap().unwrap().ended.unwrap();
        assert_eq!((ended.reason, ended.at, ended.revocation), (EndReason::Revoked, row.committed_at, row.id));
        assert_eq!(world.store.revocation_of_token(token.id).await.as_ref(), Ok(&Some(row.clone())));
    }
    let last = world.records().await.pop().unwrap();
    let end = |digest, token| Change::End { digest, token, reason: EndReason::Revoked };
    assert_eq!(last.revision, row.revision);
    assert_eq!(last.changes, [end(first.token.digest, first.token.id), end(second.token.digest, second.token.id)]);

    let again = world.store.revocation_create(Caller::System, new).await.unwrap();
    assert_eq!(again, Revoked { fresh: false, ..revoked });
    assert_eq!(world.records().await.pop().unwrap().revision, last.revision, "nothing new was written");
}

async fn one_token_ends_and_the_next_rotation_mints_anew<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let first = world.issue("acme/billing").await;
    let by_id = world.revoke(Selector::token(first.token.id)).await.unwrap();
    assert_eq!(by_id.tokens, [first.token.id]);
    let second = world.store.credential_rotate(Caller::System, named("acme/billing"), span("1h")).await.unwrap();
    assert_eq!(second.previous.expires_at, None, "what has ended needs no deadline");
    let by_secret = world.revoke(secret(second.token.digest, "acme_live")).await.unwrap();
    assert_eq!(by_secret.tokens, [second.token.id]);
    assert_eq!(by_secret.revocation.selector, format!("{{\"secret_of\":\"{}\"}}", second.token.id));
    let all = world.revoke(Selector::credential(named("acme/billing"))).await.unwrap();
    assert_eq!((all.fresh, all.revocation.id), (false, by_secret.revocation.id), "the latest that did it");
    let third = world.store.credential_rotate(Caller::System, named("acme/billing"), span("1h")).await.unwrap();
    let rest = world.revoke(Selector::credential(named("acme/billing"))).await.unwrap();
    assert_eq!((rest.fresh, rest.tokens), (true, vec![third.token.id]));
    check_chain(&world.records().await);
}

async fn of_one_moment_the_last_revocation_is_told<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let subject: jeton_types::Subject = "svc:x".parse().unwrap();
    let mut tokens = Vec::new();
    for number in 0..8 {
        let new = IssueNew { subject: Some(subject.clone()), ..issue_new(&format!("acme/c{number}")) };
        tokens.push(world.store.credential_issue(Caller::System, new).await.unwrap().token);
    }
    // The clock stands, so that nothing but the revision says which was last.
    for (place, token) in tokens.iter().enumerate() {
        let last = world.revoke(Selector::token(token.id)).await.unwrap().revocation;
        let selector = Selector { subject: Some(subject.clone()), issued_before: None, ..Selector::default() };
        if place + 1 == tokens.len() {
            let new = RevokeNew { namespace: Some("acme".parse().unwrap()), selector, reason: None };
            let again = world.store.revocation_create(Caller::System, new).await.unwrap();
            assert_eq!((again.fresh, again.revocation.id, again.tokens), (false, last.id, vec![token.id]));
        }
    }
    // So it is among the tokens of one credential.
    let mut last = None;
    for _ in 0..4 {
        let credential = CredentialRef::Name("acme".parse().unwrap(), "c0".parse().unwrap());
        let rotated = world.store.credential_rotate(Caller::System, credential, span("1h")).await.unwrap();
        last = Some(world.revoke(Selector::token(rotated.token.id)).await.unwrap().revocation.id);
    }
    let again = world.revoke(Selector::credential(named("acme/c0"))).await.unwrap();
    assert_eq!((again.fresh, Some(again.revocation.id)), (false, last));
}

async fn what_is_not_there_is_not_revoked<B: Backend>() {
    let world = World::<B>::with_acme().await;
    world.namespace("other", "other").await;
    let issued = world.issue("acme/billing").await;
    let head = world.store.head().await.unwrap();
    let within = async |namespace: &str, selector: Selector| {
        let new = RevokeNew { namespace: Some(namespace.parse().unwrap()), selector, reason: None };
        world.store.revocation_create(Caller::System, new).await.unwrap_err()
    };
    let (id, digest) = (issued.token.id, issued.token.digest);
    let by_id = || Selector::credential(CredentialRef::Id(issued.credential.id));
    assert_eq!(within("none", Selector::token(id)).await, StoreError::NotFound("namespace"));
    assert_eq!(within("other", Selector::token(id)).await, StoreError::NotFound("token"));
    assert_eq!(within("other", by_id()).await, StoreError::NotFound("credential"));
    assert_eq!(within("other", secret(digest, "acme_live")).await, StoreError::NothingMatched);
    let any = async |selector: Selector| world.revoke(selector).await.unwrap_err();
    assert_eq!(any(secret(digest, "other")).await, StoreError::NothingMatched, "another namespace's prefix");
    assert_eq!(any(secret(digest, "nobodys")).await, StoreError::NothingMatched);
    assert_eq!(any(secret(Digest::from_bytes([7; 32]), "acme_live")).await, StoreError::NothingMatched);
    assert_eq!(any(Selector::token(TokenId::from_bytes([7; 16]))).await, StoreError::NotFound("token"));
    assert_eq!(any(Selector::credential(named("acme/none"))).await, StoreError::NotFound("credential"));
    assert_eq!(world.store.head().await.unwrap(), head);
}

async fn who_may_not_revoke_learns_nothing<B: Backend>() {
    let world = World::<B>::with_acme().await;
    world.namespace("other", "other").await;
    let issued = world.issue("acme/billing").await;
    let (revoker, own) = world.caller("revoker", &["revoker@other"]).await;
    let (admin, _) = world.caller("admin", &["admin@acme"]).await;
    let (edge, _) = world.caller("edge", &["verifier@acme"]).await;
    let revoke = async |caller: Caller, namespace: Option<&str>, selector: Selector| {
        let namespace = namespace.map(|name| name.parse().unwrap());
        let new = RevokeNew { namespace, selector, reason: None };
        world.store.revocation_create(caller, new).await.map(|revoked| revoked.revocation.actor)
    };
    let forbidden = |found: Result<String, StoreError>| match found {
        Err(StoreError::Forbidden(denied)) => denied.to_string(),
        found => panic!("{found:?}"),
    };
    let needs = "needs revoker@acme or admin@acme";
    let token = || Selector::token(issued.token.id);
    assert_eq!(forbidden(revoke(revoker, None, token()).await), needs);
    assert_eq!(forbidden(revoke(revoker, Some("acme"), token()).await), needs);
    assert_eq!(forbidden(revoke(revoker, None, Selector::credential(named("acme/none"))).await), needs);
    let other = revoke(revoker, Some("other"), token()).await;
    assert_eq!(other, Err(StoreError::NotFound("token")), "not even that it exists elsewhere");
    // A credential of the built-in namespace: who is admin of what it may do, and nobody else; not even its own bearer.
    let own_credential = || Selector::credential(CredentialRef::Id(own.credential.id));
    assert_eq!(forbidden(revoke(revoker, None, own_credential()).await), "needs admin@other");
    assert_eq!(forbidden(revoke(admin, None, own_credential()).await), "needs admin@other");
    revoke(admin, Some("jeton"), Selector::credential(named("jeton/edge"))).await.unwrap();
    assert_eq!(revoke(edge, None, token()).await, Err(StoreError::Unauthenticated));
    let Caller::Bearer(bearer) = admin else { panic!() };
    assert_eq!(revoke(admin, None, token()).await, Ok(bearer.token.to_string()));
}

async fn a_receipt_is_kept_once_and_raises_the_floor<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (one, other) = (world.issue("acme/a").await, world.issue("acme/b").await);
    let first = world.revoke(Selector::token(one.token.id)).await.unwrap().revocation;
    world.clock.advance(Duration::from_millis(5));
    let second = world.revoke(Selector::token(other.token.id)).await.unwrap().revocation;
    assert_eq!(world.store.revocations_pending().await, Ok(vec![first.clone(), second.clone()]));
    assert_eq!(world.store.revocations(None, 1).await, Ok(vec![first.clone()]));
    assert_eq!(world.store.revocations(Some(first.id), 9).await, Ok(vec![second.clone()]));
    assert_eq!(world.store.floors().await, Ok(vec![]));
    let head = world.store.head().await;

    assert_eq!(world.store.receipt_store(second.id, receipt("b")).await, Ok(receipt("b")));
    assert_eq!(world.store.receipt_store(second.id, receipt("c")).await, Ok(receipt("b")), "the first stays");
    assert_eq!(world.store.revocation(second.id).await.unwrap().unwrap().receipt, Some(receipt("b")));
    let floors = vec![("acme".parse().unwrap(), second.revision)];
    assert_eq!(world.store.floors().await.as_ref(), Ok(&floors));
    world.store.receipt_store(first.id, receipt("a")).await.unwrap();
    assert_eq!(world.store.floors().await, Ok(floors), "a floor never falls");
    assert_eq!(world.store.revocations_pending().await, Ok(vec![]));
    assert_eq!(world.store.head().await, head, "a receipt is no revision");
    let missing = world.store.receipt_store(RevocationId::from_bytes([7; 16]), receipt("x")).await;
    assert_eq!(missing, Err(StoreError::NotFound("revocation")));
    assert_eq!(world.store.revocation(RevocationId::from_bytes([7; 16])).await, Ok(None));
}
