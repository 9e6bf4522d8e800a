//! All that ends authority besides a plain revocation, and the selectors of that one.

use std::time::Duration;

use jeton_feed::record::Change;
use jeton_lifecycle::{Refusal, change::CredentialChange, namespace::NamespaceChange};
use jeton_store::{
    Store, StoreError,
    model::{
        Burn, Caller, CredentialDelete, CredentialFilter, CredentialPatch, CredentialState, Effect, IssueNew, Issued,
        Labels, NamespacePatch, RevokeNew, Selector,
    },
};
use jeton_types::{AddressList, Label, NamespaceName, Prefix};

use crate::world::{Backend, World, check_chain, issue_new, named, scopes, span};

conformance! {
    selectors_and,
    a_selector_over_roles_needs_each_of_their_rights,
    what_has_ended_needs_the_same_rights,
    disabling_has_a_receipt_and_is_taken_back,
    scopes_are_narrowed_with_a_receipt_and_widened_without,
    addresses_are_narrowed_with_a_receipt_and_widened_without,
    an_expiry_comes_nearer,
    deleted_is_for_good_and_the_name_stays_taken,
    a_change_of_what_has_changed_is_refused,
    a_namespace_is_switched_off_by_one_record,
    a_policy_changes_by_one_record_and_a_shorter_grace_has_a_receipt,
    whoever_holds_a_token_may_end_it,
    a_disabled_administrator_does_nothing_any_more,
    credentials_are_found_by_what_they_are,
}

fn patch(change: CredentialChange) -> CredentialPatch {
    CredentialPatch { change, ..CredentialPatch::default() }
}

fn disable(disabled: bool) -> CredentialPatch {
    patch(CredentialChange { disabled: Some(disabled), ..CredentialChange::default() })
}

fn to_scopes(texts: &[&str]) -> CredentialPatch {
    patch(CredentialChange { scopes: Some(scopes(texts)), ..CredentialChange::default() })
}

fn namespace_patch(change: NamespaceChange) -> NamespacePatch {
    NamespacePatch { change, if_match: None, reason: None }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().map(|(key, value)| Label::new(key, value).unwrap())).unwrap()
}

async fn issue(world: &World<impl Backend>, name: &str, subject: Option<&str>, pairs: &[(&str, &str)]) -> Issued {
    let new = IssueNew {
        subject: subject.map(|subject| subject.parse().unwrap()),
        labels: labels(pairs),
        scopes: scopes(&["a", "b"]),
        ..issue_new(name)
    };
    world.store.credential_issue(Caller::System, new).await.unwrap()
}

fn in_acme(selector: Selector) -> RevokeNew {
    RevokeNew { namespace: Some("acme".parse().unwrap()), selector, reason: None }
}

async fn selectors_and<B: Backend>() {
    let world = World::<B>::with_acme().await;
    world.namespace("other", "other").await;
    let one = issue(&world, "acme/one", Some("svc:x"), &[("team", "core"), ("env", "prod")]).await;
    let two = issue(&world, "acme/two", Some("svc:x"), &[("team", "core")]).await;
    issue(&world, "other/one", Some("svc:x"), &[("team", "core")]).await;
    world.clock.advance(Duration::from_secs(60));
    let three = issue(&world, "acme/three", Some("svc:y"), &[("team", "core"), ("env", "prod")]).await;
    let name = |issued: &Issued| issued.credential.name.to_string();
    let ids = [&one, &two, &three].map(|issued| (issued.token.id, name(issued)));
    let preview = async |selector: Selector| -> Vec<String> {
        match world.store.revocation_preview(Caller::System, in_acme(selector)).await {
            Ok(found) => {
                assert_eq!(found.count, found.tokens.len() as u64);
                let name = |id| ids.iter().find(|(known, _)| *known == id).unwrap().1.clone();
                found.tokens.into_iter().map(name).collect()
            }
            Err(StoreError::NothingMatched) => vec!["nothing".to_owned()],
            Err(error) => vec![error.to_string()],
        }
    };
    let subject = |text: &str| Selector { subject: Some(text.parse().unwrap()), ..Selector::default() };
    let labelled = |pairs: &[(&str, &str)]| Selector { labels: labels(pairs), ..Selector::default() };
    let before = Selector { issued_before: Some(three.token.issued_at), ..Selector::default() };
    assert_eq!(preview(subject("svc:x")).await, ["one", "two"]);
    assert_eq!(preview(subject("svc:z")).await, ["nothing"]);
    assert_eq!(preview(labelled(&[("team", "core")])).await, ["one", "two", "three"]);
    assert_eq!(preview(labelled(&[("team", "core"), ("env", "prod")])).await, ["one", "three"]);
    assert_eq!(preview(labelled(&[("team", "prod")])).await, ["nothing"]);
    assert_eq!(preview(before.clone()).await, ["one", "two"]);
    assert_eq!(preview(Selector { labels: labels(&[("env", "prod")]), ..before.clone() }).await, ["one"]);
    assert_eq!(preview(Selector { credential: Some(named("acme/three")), ..before.clone() }).await, ["nothing"]);
    assert_eq!(preview(Selector { token: Some(one.token.id), ..subject("svc:x") }).await, ["one"]);
    assert_eq!(preview(Selector { token: Some(one.token.id), ..subject("svc:y") }).await, ["nothing"]);
    let prefix: Prefix = "acme_live".parse().unwrap();
    let secret = Selector::secret(one.token.digest, prefix);
    assert_eq!(preview(Selector { token: Some(one.token.id), ..secret.clone() }).await, ["one"]);
    assert_eq!(preview(Selector { token: Some(two.token.id), ..secret.clone() }).await, ["nothing"]);
    assert_eq!(preview(Selector { credential: Some(named("acme/two")), ..secret }).await, ["nothing"]);
    assert_eq!(preview(Selector::default()).await, ["nothing"], "nothing named is not everything");

    let head = world.store.head().await.unwrap();
    let revoked = world.store.revocation_create(Caller::System, in_acme(subject("svc:x"))).await.unwrap();
    assert_eq!(revoked.tokens, [one.token.id, two.token.id]);
    assert!(revoked.revocation.revision > head.revision, "no preview wrote anything");
    assert_eq!(revoked.revocation.selector, r#"{"subject":"svc:x"}"#);
    let again = world.store.revocation_create(Caller::System, in_acme(subject("svc:x"))).await.unwrap();
    assert_eq!((again.fresh, again.revocation.id), (false, revoked.revocation.id));
    assert_eq!(preview(labelled(&[("team", "core")])).await, ["three"], "what has ended is not ended again");
}

#[tokio::test]
async fn more_than_a_hundred_thousand_are_refused_whole() {
    let world = World::<jeton_store::Sqlite>::with_acme().await;
    let issued = issue(&world, "acme/many", Some("svc:x"), &[]).await;
    let sql = "
        INSERT INTO token (id, credential, namespace, version, digest, scheme, hint, birth, issued_at)
        WITH RECURSIVE number (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM number WHERE n < 100001)
        SELECT CAST(printf('%016d', n) AS BLOB), ?1, 'acme', n, CAST(printf('%032d', n) AS BLOB), 1, 'x', 1, 1
        FROM number";
    assert_eq!(world.raw().execute(sql, [issued.credential.id.as_bytes()]).unwrap(), 100_000);
    let selector = Selector { subject: issued.credential.subject.clone(), ..Selector::default() };
    let preview = world.store.revocation_preview(Caller::System, in_acme(selector.clone())).await.unwrap();
    assert_eq!((preview.count, preview.tokens.len()), (100_001, 100));
    let refused = world.store.revocation_create(Caller::System, in_acme(selector)).await.unwrap_err();
    assert_eq!(refused, StoreError::TooMany { count: 100_001 });
    assert!(refused.to_string().contains("or disable the namespace"), "{refused}");
    assert_eq!(world.store.token(issued.token.id).await.unwrap().unwrap().ended, None);
}

async fn a_selector_over_roles_needs_each_of_their_rights<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (admin, _) = world.caller("acme-admin", &["admin@acme"]).await;
    let new = |name: &str, role: &str| IssueNew {
        scopes: scopes(&[role]),
        labels: labels(&[("set", "edge")]),
        ..issue_new(&format!("jeton/{name}"))
    };
    world.store.credential_issue(Caller::System, new("one", "verifier@acme")).await.unwrap();
    let selector = Selector { labels: labels(&[("set", "edge")]), ..Selector::default() };
    let revoke = || RevokeNew { namespace: Some("jeton".parse().unwrap()), selector: selector.clone(), reason: None };
    assert_eq!(world.store.revocation_preview(admin, revoke()).await.unwrap().count, 1);
    world.store.credential_issue(Caller::System, new("two", "verifier@*")).await.unwrap();
    for denied in [
        world.store.revocation_preview(admin, revoke()).await.map(|_| ()),
        world.store.revocation_create(admin, revoke()).await.map(|_| ()),
    ] {
        assert!(matches!(denied, Err(StoreError::Forbidden(_))), "{denied:?}");
    }
}

/// Asked for again, a revocation is answered with all that it ended: whoever has no right over some of it learns nothing.
async fn what_has_ended_needs_the_same_rights<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (admin, _) = world.caller("admin", &["admin@acme"]).await;
    let issue = async |name: &str, role: &str, subject: &str, pairs: &[(&str, &str)]| {
        let new = IssueNew {
            scopes: scopes(&[role]),
            subject: Some(subject.parse().unwrap()),
            labels: labels(pairs),
            ..issue_new(&format!("jeton/{name}"))
        };
        world.clock.advance(Duration::from_secs(1));
        world.store.credential_issue(Caller::System, new).await.unwrap().token.id
    };
    // In the order of their ids, which is that of time.
    let mine = issue("mine", "verifier@acme", "svc:mine", &[("team", "edge"), ("batch", "one")]).await;
    let other = issue("other", "verifier@other", "svc:other", &[("team", "edge"), ("batch", "one")]).await;
    let last = issue("last", "verifier@acme", "svc:mine", &[("team", "edge")]).await;
    let revoke = async |caller: Caller, selector: Selector| {
        let new = RevokeNew { namespace: Some("jeton".parse().unwrap()), selector, reason: None };
        world.store.revocation_create(caller, new).await.map(|revoked| (revoked.fresh, revoked.tokens))
    };
    let labelled = |pairs: &[(&str, &str)]| Selector { labels: labels(pairs), ..Selector::default() };
    let subject = Selector { subject: Some("svc:mine".parse().unwrap()), ..Selector::default() };
    assert_eq!(revoke(Caller::System, labelled(&[("batch", "one")])).await, Ok((true, vec![mine, other])));
    assert_eq!(revoke(Caller::System, Selector::token(last)).await, Ok((true, vec![last])));
    let denied = [
        // The latest revocation is of his own alone, and not of all that matches.
        labelled(&[("team", "edge")]),
        // All that matches is his own, and was ended together with another's.
        Selector { labels: labels(&[("batch", "one")]), ..subject.clone() },
        Selector::token(mine),
    ];
    for selector in denied {
        let found = revoke(admin, selector.clone()).await;
        assert!(matches!(found, Err(StoreError::Forbidden(_))), "{selector:?}: {found:?}");
        let found = revoke(Caller::System, selector).await.unwrap();
        assert!(!found.0 && !found.1.is_empty());
    }
    for selector in [subject, Selector::token(last)] {
        assert_eq!(revoke(admin, selector).await, Ok((false, vec![last])));
    }
}

async fn disabling_has_a_receipt_and_is_taken_back<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let issued = issue(&world, "acme/billing", None, &[]).await;
    let id = issued.credential.id;
    let off = world.store.credential_patch(Caller::System, id, disable(true)).await.unwrap();
    let revocation = off.revocation.clone().unwrap();
    assert_eq!((revocation.effect, revocation.count, revocation.revision), (Effect::Disable, 1, off.revision));
    assert_eq!(off.row.disabled.map(|off| off.revocation), Some(revocation.id));
    assert_eq!(world.store.revocations_pending().await.unwrap(), std::slice::from_ref(&revocation));
    let (token, credential) = world.store.token_by_digest(issued.token.digest).await.unwrap().unwrap();
    assert_eq!(credential, off.row);
    let last = world.records().await.pop().unwrap();
    assert_eq!(last.changes, [Change::Token(token.entry(&credential))]);
    assert!(token.entry(&credential).disabled);
    let again = world.store.credential_patch(Caller::System, id, disable(true)).await.unwrap();
    assert_eq!((again.fresh, again.revocation, again.revision), (false, Some(revocation), off.revision));
    // What is minted meanwhile is off as well.
    let next = world.store.credential_rotate(Caller::System, named("acme/billing"), span("1h")).await.unwrap();
    assert!(matches!(&world.records().await.pop().unwrap().changes[0], Change::Token(entry) if entry.disabled));
    let on = world.store.credential_patch(Caller::System, id, disable(false)).await.unwrap();
    assert_eq!((on.row.disabled, on.revocation), (None, None));
    let last = world.records().await.pop().unwrap();
    let on_again = |change: &Change| matches!(change, Change::Token(entry) if !entry.disabled);
    assert!(last.changes.len() == 2 && last.changes.iter().all(on_again), "{next:?}");
    check_chain(&world.records().await);
}

async fn scopes_are_narrowed_with_a_receipt_and_widened_without<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let issued = issue(&world, "acme/billing", None, &[]).await;
    let id = issued.credential.id;
    let narrowed = world.store.credential_patch(Caller::System, id, to_scopes(&["a"])).await.unwrap();
    assert_eq!(narrowed.revocation.unwrap().effect, Effect::Narrow);
    assert_eq!(narrowed.row.scopes, scopes(&["a"]));
    let widened = world.store.credential_patch(Caller::System, id, to_scopes(&["a", "c"])).await.unwrap();
    assert_eq!((widened.revocation, widened.row.revision), (None, widened.revision));
    let found = world.store.token_by_digest(issued.token.digest).await.unwrap().unwrap().1;
    assert_eq!(found.scopes, scopes(&["a", "c"]));
    // Each half of the right alone is not enough for both.
    let (issuer, _) = world.caller("issuer", &["issuer@acme"]).await;
    let (revoker, _) = world.caller("revoker", &["revoker@acme"]).await;
    let try_as =
        async |caller, texts: &[&str]| world.store.credential_patch(caller, id, to_scopes(texts)).await.is_ok();
    assert!(!try_as(issuer, &["a"]).await);
    assert!(!try_as(revoker, &["a", "c", "d"]).await);
    assert!(!try_as(issuer, &["a", "d"]).await);
    assert!(!try_as(revoker, &["a", "d"]).await);
    assert!(try_as(issuer, &["a", "c", "d"]).await);
    assert!(try_as(revoker, &["a"]).await);
    let (auditor, _) = world.caller("auditor", &["auditor@acme"]).await;
    let nothing = world.store.credential_patch(auditor, id, CredentialPatch::default()).await;
    assert!(matches!(nothing, Err(StoreError::Forbidden(_))), "{nothing:?}");
}

async fn an_expiry_comes_nearer<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let issued = issue(&world, "acme/billing", None, &[]).await;
    let at = issued.token.issued_at.plus(Duration::from_secs(600));
    let change = patch(CredentialChange { expires_at: Some(at), ..CredentialChange::default() });
    let patched = world.store.credential_patch(Caller::System, issued.credential.id, change.clone()).await.unwrap();
    let revocation = patched.revocation.unwrap();
    assert_eq!((revocation.effect, revocation.count), (Effect::Expire, 1));
    assert_eq!(world.store.token(issued.token.id).await.unwrap().unwrap().expires_at, Some(at));
    let again = world.store.credential_patch(Caller::System, issued.credential.id, change).await.unwrap();
    assert!(!again.fresh);
    let later = CredentialChange { expires_at: Some(at.plus(Duration::from_secs(1))), ..CredentialChange::default() };
    let later = world.store.credential_patch(Caller::System, issued.credential.id, patch(later)).await;
    assert_eq!(later.unwrap_err(), StoreError::Refused(Refusal::ExpiryLater));
}

async fn deleted_is_for_good_and_the_name_stays_taken<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let issued = issue(&world, "acme/billing", None, &[]).await;
    let id = issued.credential.id;
    let delete = || world.store.credential_delete(Caller::System, id, CredentialDelete::default());
    let deleted = delete().await.unwrap();
    let revocation = deleted.revocation.clone().unwrap();
    assert_eq!((revocation.effect, revocation.count), (Effect::Delete, 1));
    assert_eq!(world.store.token(issued.token.id).await.unwrap().unwrap().ended.unwrap().revocation, revocation.id);
    assert_eq!(delete().await.unwrap().revocation, Some(revocation));
    let gone = StoreError::Refused(Refusal::Deleted);
    assert_eq!(world.store.credential_patch(Caller::System, id, disable(true)).await.unwrap_err(), gone);
    let rotated = world.store.credential_rotate(Caller::System, named("acme/billing"), span("1h")).await;
    assert_eq!(rotated.unwrap_err(), gone);
    let again = world.store.credential_issue(Caller::System, issue_new("acme/billing")).await;
    assert_eq!(again.unwrap_err(), StoreError::NameTaken);
}

async fn a_change_of_what_has_changed_is_refused<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let issued = issue(&world, "acme/billing", None, &[]).await;
    let id = issued.credential.id;
    let seen = CredentialPatch { if_match: Some(vec![issued.credential.revision]), ..to_scopes(&["a"]) };
    let patched = world.store.credential_patch(Caller::System, id, seen.clone()).await.unwrap();
    let stale = world.store.credential_patch(Caller::System, id, seen).await;
    assert_eq!(stale.unwrap_err(), StoreError::EtagMismatch);
    let delete = |revision| CredentialDelete { if_match: Some(vec![revision]), reason: None };
    let stale = world.store.credential_delete(Caller::System, id, delete(issued.credential.revision)).await;
    assert_eq!(stale.unwrap_err(), StoreError::EtagMismatch);
    world.store.credential_delete(Caller::System, id, delete(patched.revision)).await.unwrap();
}

async fn a_namespace_is_switched_off_by_one_record<B: Backend>() {
    let world = World::<B>::with_acme().await;
    issue(&world, "acme/one", None, &[]).await;
    issue(&world, "acme/two", None, &[]).await;
    let name = || "acme".parse().unwrap();
    let patch = |disabled| namespace_patch(NamespaceChange { disabled: Some(disabled), ..Default::default() });
    let (revoker, _) = world.caller("revoker", &["revoker@acme"]).await;
    let off = world.store.namespace_patch(revoker, name(), patch(true)).await.unwrap();
    assert_eq!(off.revocation.as_ref().unwrap().effect, Effect::Disable);
    let last = world.records().await.pop().unwrap();
    assert_eq!(last.changes, [Change::Policy(off.row.policy())]);
    assert!(off.row.policy().disabled);
    assert_eq!(world.store.namespace(name()).await.unwrap().as_ref(), Some(&off.row));
    let again = world.store.namespace_patch(Caller::System, name(), patch(true)).await.unwrap();
    assert_eq!((again.fresh, again.revocation), (false, off.revocation));
    let denied = world.store.namespace_patch(revoker, name(), patch(false)).await;
    assert!(matches!(denied, Err(StoreError::Forbidden(_))), "whoever takes away does not give back");
    let on = world.store.namespace_patch(Caller::System, name(), patch(false)).await.unwrap();
    assert_eq!((on.row.disabled, on.revocation), (None, None));
    let own = world.store.namespace_patch(Caller::System, "jeton".parse().unwrap(), patch(true)).await;
    assert_eq!(own.unwrap_err(), StoreError::Refused(Refusal::BuiltIn));
}

async fn a_policy_changes_by_one_record_and_a_shorter_grace_has_a_receipt<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let name = || -> NamespaceName { "acme".parse().unwrap() };
    let to =
        |text: &str| namespace_patch(NamespaceChange { freshness: Some(text.parse().unwrap()), ..Default::default() });
    let (revoker, _) = world.caller("revoker", &["revoker@acme"]).await;
    let denied = world.store.namespace_patch(revoker, name(), to("strict")).await;
    assert!(matches!(denied, Err(StoreError::Forbidden(_))), "whoever may end tokens does not govern");
    let (admin, _) = world.caller("admin", &["admin@acme"]).await;
    let before = world.store.namespace(name()).await.unwrap().unwrap();
    let steps = [("grace=1h", false), ("grace=2m", true), ("grace=2m", false), ("strict", true), ("grace=1s", false)];
    let mut expect = vec![before.freshness];
    for (text, ends) in steps {
        let patched = world.store.namespace_patch(admin, name(), to(text)).await.unwrap();
        assert_eq!(patched.row.freshness.to_string(), text);
        assert_eq!(patched.revocation.as_ref().map(|row| row.effect), ends.then_some(Effect::Tighten), "{text}");
        if patched.fresh {
            let last = world.records().await.pop().unwrap();
            assert_eq!((last.revision, last.changes), (patched.revision, vec![Change::Policy(patched.row.policy())]));
            expect.push(patched.row.freshness);
        }
        assert_eq!(world.store.namespace(name()).await.unwrap(), Some(patched.row));
    }
    let policies = world.store.policies().await.unwrap().into_iter().filter(|policy| policy.namespace == name());
    assert_eq!(policies.map(|policy| policy.freshness).collect::<Vec<_>>(), expect, "all of them, for ever");
    let off = namespace_patch(NamespaceChange { disabled: Some(true), ..to("strict").change });
    let off = world.store.namespace_patch(admin, name(), off).await.unwrap();
    assert_eq!(off.revocation.unwrap().effect, Effect::Disable, "of two, the one that ends most");
    assert_eq!((off.row.freshness.to_string().as_str(), off.row.disabled.is_some()), ("strict", true));
    let ttl = namespace_patch(NamespaceChange { default_ttl: Some(Some(span("1m"))), ..Default::default() });
    let patched = world.store.namespace_patch(admin, name(), ttl).await.unwrap();
    assert_eq!(
        (patched.row.default_ttl, patched.row.disabled, patched.revocation),
        (Some(span("1m")), off.row.disabled, None)
    );
    let own = world.store.namespace_patch(Caller::System, NamespaceName::built_in(), to("grace=1s")).await;
    assert_eq!(own.unwrap_err(), StoreError::Refused(Refusal::BuiltInStrict));
}

async fn whoever_holds_a_token_may_end_it<B: Backend>() {
    let world = World::<B>::with_acme().await;
    world.namespace("other", "other").await;
    let issued = issue(&world, "acme/billing", None, &[]).await;
    let burn = |prefix: &str| Burn {
        digest: issued.token.digest,
        prefix: prefix.parse().unwrap(),
        address: Some("192.0.2.7".parse().unwrap()),
        reason: None,
    };
    assert_eq!(world.store.token_burn(burn("nobody")).await.unwrap(), None);
    assert_eq!(world.store.token_burn(burn("other")).await.unwrap(), None, "its own prefix is part of it");
    let burned = world.store.token_burn(burn("acme_live")).await.unwrap().unwrap();
    assert_eq!((burned.fresh, burned.revocation.actor.clone()), (true, issued.token.id.to_string()));
    let again = world.store.token_burn(burn("acme_live")).await.unwrap().unwrap();
    assert_eq!((again.fresh, again.revocation.id), (false, burned.revocation.id));
}

async fn a_disabled_administrator_does_nothing_any_more<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (admin, issued) = world.caller("admin", &["admin@*"]).await;
    world.store.credential_patch(admin, issued.credential.id, disable(true)).await.unwrap();
    let refused = world.store.credential_patch(admin, issued.credential.id, disable(false)).await;
    assert_eq!(refused.unwrap_err(), StoreError::Unauthenticated);
    world.store.credential_patch(Caller::System, issued.credential.id, disable(false)).await.unwrap();
    world.store.credential_issue(admin, issue_new("acme/x")).await.unwrap();
}

async fn credentials_are_found_by_what_they_are<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let one = issue(&world, "acme/one", Some("svc:x"), &[("team", "core")]).await;
    let two = issue(&world, "acme/two", Some("svc:y"), &[("team", "core"), ("a/b.c", "d=e")]).await;
    let three = issue(&world, "acme/three", None, &[]).await;
    world.store.credential_patch(Caller::System, one.credential.id, disable(true)).await.unwrap();
    world.store.credential_delete(Caller::System, three.credential.id, CredentialDelete::default()).await.unwrap();
    let find = async |filter: CredentialFilter| {
        let rows = world.store.credentials("acme".parse().unwrap(), filter, None, 10).await.unwrap();
        // All of one moment, so their ids are in no order.
        let mut names: Vec<String> = rows.iter().map(|row| row.name.to_string()).collect();
        names.sort_unstable();
        names
    };
    let label = |key, value| CredentialFilter {
        labels: Labels::new([Label::new(key, value).unwrap()]).unwrap(),
        ..Default::default()
    };
    let state = |state| CredentialFilter { state: Some(state), ..Default::default() };
    assert_eq!(find(CredentialFilter::default()).await, ["one", "three", "two"]);
    assert_eq!(find(label("team", "core")).await, ["one", "two"]);
    assert_eq!(find(label("a/b.c", "d=e")).await, ["two"]);
    assert_eq!(find(label("team", "x")).await, [""; 0]);
    let both = |value| {
        let labels = [("a/b.c", "d=e"), ("team", value)].map(|(key, value)| Label::new(key, value).unwrap());
        CredentialFilter { labels: Labels::new(labels).unwrap(), ..Default::default() }
    };
    assert_eq!(find(both("core")).await, ["two"]);
    assert_eq!(find(both("x")).await, [""; 0]);
    assert_eq!(
        find(CredentialFilter { subject: two.credential.subject.clone(), ..label("team", "core") }).await,
        ["two"]
    );
    assert_eq!(find(state(CredentialState::Active)).await, ["two"]);
    assert_eq!(find(state(CredentialState::Disabled)).await, ["one"]);
    assert_eq!(find(state(CredentialState::Deleted)).await, ["three"]);
}

async fn addresses_are_narrowed_with_a_receipt_and_widened_without<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let list = |texts: &[&str]| AddressList::parse(texts.iter().copied()).unwrap();
    let to = |texts: &[&str]| patch(CredentialChange { addresses: Some(list(texts)), ..CredentialChange::default() });
    let new = IssueNew { addresses: list(&["10.0.0.0/8", "2001:db8::/32"]), ..issue_new("acme/billing") };
    let issued = world.store.credential_issue(Caller::System, new.clone()).await.unwrap();
    let id = issued.credential.id;
    assert_eq!(issued.credential.addresses, new.addresses);
    let last = async || world.records().await.pop().unwrap().changes;
    assert_eq!(last().await, [Change::Token(issued.token.entry(&issued.credential))]);

    let narrowed = world.store.credential_patch(Caller::System, id, to(&["10.0.0.0/9"])).await.unwrap();
    assert_eq!(narrowed.revocation.as_ref().map(|revocation| revocation.effect), Some(Effect::Narrow));
    let told = |changes: &[Change]| match changes {
        [Change::Token(entry)] => entry.addresses.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&last().await), list(&["10.0.0.0/9"]));
    let widened = world.store.credential_patch(Caller::System, id, to(&[])).await.unwrap();
    assert_eq!((widened.revocation, told(&last().await)), (None, AddressList::default()));
    let bound = world.store.credential_patch(Caller::System, id, to(&["0.0.0.0/0", "::/0"])).await.unwrap();
    assert_eq!(bound.revocation.unwrap().effect, Effect::Narrow, "an unknown address is shut out");
    let found = world.store.token_by_digest(issued.token.digest).await.unwrap().unwrap();
    assert_eq!(found.1.addresses, list(&["0.0.0.0/0", "::/0"]));
    let next = world.store.credential_rotate(Caller::System, named("acme/billing"), span("1h")).await.unwrap();
    assert!(
        matches!(&last().await[0], Change::Token(entry) if entry.token == next.token.id && entry.addresses == found.1.addresses)
    );

    let refused = |outcome| matches!(outcome, Err(StoreError::Refused(Refusal::AddressesBuiltIn)));
    let root = IssueNew { scopes: scopes(&["verifier@acme"]), addresses: list(&["::1"]), ..issue_new("jeton/edge") };
    assert!(refused(world.store.credential_issue(Caller::System, root.clone()).await.map(drop)));
    let plain = IssueNew { addresses: AddressList::default(), ..root };
    let edge = world.store.credential_issue(Caller::System, plain).await.unwrap().credential.id;
    assert!(refused(world.store.credential_patch(Caller::System, edge, to(&["::1"])).await.map(drop)));
    check_chain(&world.records().await);
}
