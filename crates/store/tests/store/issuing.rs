use std::{io, time::Duration};

use jeton_feed::record::Change;
use jeton_store::{
    Sqlite, Store, StoreError,
    model::{Bearer, Caller, CredentialFilter, CredentialRef, IssueNew, Labels, NamespaceNew},
};
use jeton_types::{Freshness, Label, NamespaceName, StartId, token};

use crate::world::{Backend, World, check_chain, issue_new, named, namespace_new, scopes, span};

conformance! {
    the_first_start_makes_the_built_in_namespace,
    nothing_is_written_before_a_start_is,
    a_namespace_is_created_once,
    an_issued_credential_is_there,
    issuing_is_refused_with_a_reason,
    the_namespaces_ttl_serves_where_none_is_given,
    a_rotation_overlaps_and_then_is_over,
    lists_come_in_pages,
    the_root_token_is_made_once_and_only_with_its_file,
    roles_are_asked_for_inside_the_transaction,
    revisions_follow_the_clock_but_never_go_back,
}

async fn the_first_start_makes_the_built_in_namespace<B: Backend>() {
    let world = World::<B>::new().await;
    let built_in = world.store.namespace(NamespaceName::built_in()).await.unwrap().unwrap();
    assert_eq!((built_in.prefix.as_str(), built_in.freshness), ("jtn", Freshness::Strict));
    let second = world.store.start_record(StartId::from_bytes([2; 16])).await.unwrap();
    let records = world.records().await;
    assert_eq!(records.len(), 2);
    assert!(matches!(&records[0].changes[..], [Change::Policy(_), Change::Start(_)]));
    assert_eq!(records[1].changes, [Change::Start(StartId::from_bytes([2; 16]))]);
    assert_eq!((second.before, second.revision), (records[0].revision, records[1].revision));
    assert_eq!(world.store.head().await.unwrap().start, StartId::from_bytes([2; 16]));
    assert_eq!(world.store.commit_log().head(), world.store.head().await.unwrap());
    check_chain(&records);
}

async fn nothing_is_written_before_a_start_is<B: Backend>() {
    let world = World::<B>::unstarted();
    let refused = world.store.namespace_create(Caller::System, namespace_new("acme", "acme_live")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}

async fn a_namespace_is_created_once<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let create = async |new: NamespaceNew| world.store.namespace_create(Caller::System, new).await;
    assert_eq!(create(namespace_new("acme", "other")).await, Err(StoreError::NameTaken));
    assert_eq!(create(namespace_new("other", "acme_live")).await, Err(StoreError::PrefixTaken));
    assert_eq!(create(namespace_new("jeton", "other")).await, Err(StoreError::NameTaken));
    assert_eq!(create(namespace_new("other", "jtn")).await, Err(StoreError::PrefixTaken));
    let long = NamespaceNew { default_ttl: Some(span("9s")), ..namespace_new("other", "other") };
    assert!(matches!(create(long).await, Err(StoreError::Refused(_))));
    let good = NamespaceNew {
        freshness: Freshness::DEFAULT,
        default_ttl: Some(span("90d")),
        ..namespace_new("other", "other")
    };
    let made = create(good).await.unwrap();
    assert_eq!(world.store.namespace(made.name.clone()).await.unwrap().as_ref(), Some(&made));
    let names: Vec<_> = world.store.namespaces().await.unwrap().into_iter().map(|row| row.name.to_string()).collect();
    assert_eq!(names, ["acme", "jeton", "other"]);
    let policies = world.store.policies().await.unwrap();
    let last = policies.last().unwrap();
    assert_eq!((&last.namespace, last.revision, last.freshness), (&made.name, made.revision, Freshness::DEFAULT));
    assert_eq!(world.store.namespace("none".parse().unwrap()).await, Ok(None));
}

async fn an_issued_credential_is_there<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let labels = ["team=core", "a=\"quoted\" ü"].map(|label| label.parse::<Label>().unwrap());
    let new = IssueNew {
        subject: Some("svc billing".parse().unwrap()),
        scopes: scopes(&["orders:read", "orders:write"]),
        labels: Labels::new(labels).unwrap(),
        ttl: Some(span("30d")),
        ..issue_new("acme/billing")
    };
    let issued = world.store.credential_issue(Caller::System, new).await.unwrap();
    let parsed = token::parse(issued.secret.expose().as_bytes()).unwrap();
    assert_eq!((parsed.prefix, parsed.birth, parsed.digest), ("acme_live", issued.revision, issued.token.digest));
    assert_eq!((issued.token.version, issued.token.birth), (1, issued.revision));
    assert_eq!(issued.token.expires_at, Some(issued.token.issued_at.plus(span("30d").duration())));

    let (credential, token) = (issued.credential.clone(), issued.token.clone());
    assert_eq!(world.store.token_by_digest(parsed.digest).await, Ok(Some((token.clone(), credential.clone()))));
    assert_eq!(world.store.token(token.id).await, Ok(Some(token.clone())));
    assert_eq!(world.store.tokens(credential.id).await, Ok(vec![token.clone()]));
    assert_eq!(world.store.credential(CredentialRef::Id(credential.id)).await, Ok(Some(credential.clone())));
    assert_eq!(world.store.credential(named("acme/billing")).await, Ok(Some(credential.clone())));
    assert_eq!(world.store.credential(named("acme/none")).await, Ok(None));
    let last = world.records().await.pop().unwrap();
    assert_eq!(last.changes, [Change::Token(token.entry(&credential))]);
}

#[tokio::test]
async fn a_secret_is_nowhere_in_the_files() {
    let world = World::<Sqlite>::with_acme().await;
    let issued = world.issue("acme/billing").await;
    let body = &issued.secret.expose()["acme_live_".len()..][..43];
    drop(world.store);
    for file in std::fs::read_dir(world.place.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(body.len()).any(|window| window == body.as_bytes()));
    }
}

async fn issuing_is_refused_with_a_reason<B: Backend>() {
    let world = World::<B>::with_acme().await;
    world.issue("acme/billing").await;
    let issue = async |new: IssueNew| world.store.credential_issue(Caller::System, new).await.map(|_| ()).unwrap_err();
    assert_eq!(issue(issue_new("acme/billing")).await, StoreError::NameTaken);
    assert_eq!(issue(issue_new("none/billing")).await, StoreError::NotFound("namespace"));
    assert!(matches!(issue(IssueNew { ttl: Some(span("9s")), ..issue_new("acme/x") }).await, StoreError::Refused(_)));
    let odd = IssueNew { scopes: scopes(&["orders:read"]), ..issue_new("jeton/x") };
    assert!(matches!(issue(odd).await, StoreError::UnknownRole(_)));
    world.issue("jeton/billing").await;
    check_chain(&world.records().await);
}

async fn the_namespaces_ttl_serves_where_none_is_given<B: Backend>() {
    let world = World::<B>::new().await;
    let new = NamespaceNew { default_ttl: Some(span("1h")), ..namespace_new("acme", "acme_live") };
    world.store.namespace_create(Caller::System, new).await.unwrap();
    let issued = world.issue("acme/billing").await;
    assert_eq!(issued.token.expires_at, Some(issued.token.issued_at.plus(Duration::from_secs(3_600))));
    assert_eq!(issued.credential.ttl, None);
}

async fn a_rotation_overlaps_and_then_is_over<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let first = world.issue("acme/billing").await;
    world.clock.advance(Duration::from_secs(60));
    let rotate = async || world.store.credential_rotate(Caller::System, named("acme/billing"), span("1h")).await;
    let second = rotate().await.unwrap();
    let until = second.token.issued_at.plus(Duration::from_secs(3_600));
    assert_eq!((second.token.version, second.token.birth), (2, second.revision));
    assert_eq!((second.previous.id, second.previous.expires_at), (first.token.id, Some(until)));
    assert_ne!(second.token.digest, first.token.digest);
    let stored = world.store.tokens(first.credential.id).await.unwrap();
    assert_eq!(stored, [second.previous.clone(), second.token.clone()]);
    let last = world.records().await.pop().unwrap();
    let deadline = Change::Deadline { digest: first.token.digest, token: first.token.id, expires_at: until };
    assert_eq!(last.changes, [Change::Token(second.token.entry(&second.credential)), deadline]);
    assert_eq!(rotate().await.map(|_| ()), Err(StoreError::RotationInProgress { until }));
    world.clock.advance(Duration::from_secs(3_600));
    assert_eq!(rotate().await.unwrap().token.version, 3);
    let none = world.store.credential_rotate(Caller::System, named("acme/none"), span("1h")).await;
    assert_eq!(none.map(|_| ()), Err(StoreError::NotFound("credential")));
    let short = world.store.credential_rotate(Caller::System, named("acme/billing"), span("1s")).await;
    assert!(matches!(short, Err(StoreError::Refused(_))));
}

async fn lists_come_in_pages<B: Backend>() {
    let world = World::<B>::with_acme().await;
    world.namespace("other", "other").await;
    let mut expect = Vec::new();
    for number in 0..5 {
        world.clock.advance(Duration::from_millis(2));
        expect.push(world.issue(&format!("acme/c{number}")).await.credential.id);
        world.issue(&format!("other/c{number}")).await;
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page =
            world.store.credentials("acme".parse().unwrap(), CredentialFilter::default(), after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2 && page.first().map(|row| row.id) > after);
        after = Some(last.id);
        found.extend(page.into_iter().map(|row| row.id));
    }
    assert_eq!(found, expect);
}

async fn the_root_token_is_made_once_and_only_with_its_file<B: Backend>() {
    let world = World::<B>::new().await;
    let before = world.store.head().await.unwrap();
    let failed = world.store.root_ensure(|_| Err(io::Error::other("no room"))).await;
    assert_eq!(failed, Err(StoreError::RootFile("no room".to_owned())));
    assert_eq!(world.store.head().await.unwrap(), before, "the counter went back too");
    assert_eq!(world.store.credential(named("jeton/root")).await, Ok(None));

    let (sender, receiver) = std::sync::mpsc::channel();
    let made = world.store.root_ensure(move |secret| sender.send(secret.clone()).map_err(io::Error::other)).await;
    let made = made.unwrap().unwrap();
    let secret = receiver.recv().unwrap();
    assert_eq!(token::parse(secret.expose().as_bytes()).unwrap().digest, made.digest);
    let (_, credential) = world.store.token_by_digest(made.digest).await.unwrap().unwrap();
    assert_eq!(credential.scopes, scopes(&["admin@*"]));
    let again = world.store.root_ensure(|_| panic!("there is nothing to write")).await;
    assert_eq!(again, Ok(None));
    let root = Caller::Bearer(Bearer { token: made.id, digest: made.digest, address: None });
    world.store.namespace_create(root, namespace_new("acme", "acme_live")).await.unwrap();
    check_chain(&world.records().await);
}

async fn roles_are_asked_for_inside_the_transaction<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let (issuer, issued) = world.caller("issuer", &["issuer@acme"]).await;
    world.store.credential_issue(issuer, issue_new("acme/a")).await.unwrap();
    world.store.credential_rotate(issuer, named("acme/a"), span("1h")).await.unwrap();
    let denied = |result: Result<(), StoreError>| match result {
        Err(StoreError::Forbidden(denied)) => denied.to_string(),
        other => panic!("{other:?}"),
    };
    let found = world.store.credential_issue(issuer, issue_new("other/a")).await.map(|_| ());
    assert_eq!(denied(found), "needs issuer@other or admin@other", "also where nothing is there");
    let found = world.store.namespace_create(issuer, namespace_new("other", "other")).await.map(|_| ());
    assert_eq!(denied(found), "needs admin@*");
    let found = world.store.credential_issue(issuer, issue_new("jeton/a")).await.map(|_| ());
    assert_eq!(denied(found), "needs admin@jeton");
    let found = world.store.credential_rotate(issuer, named("jeton/issuer"), span("1h")).await.map(|_| ());
    assert_eq!(denied(found), "needs admin@acme");

    let (admin, _) = world.caller("admin", &["admin@acme"]).await;
    let verifier = IssueNew { scopes: scopes(&["verifier@acme"]), ..issue_new("jeton/edge") };
    world.store.credential_issue(admin, verifier).await.unwrap();
    let everywhere = IssueNew { scopes: scopes(&["verifier@*"]), ..issue_new("jeton/edge-2") };
    assert_eq!(denied(world.store.credential_issue(admin, everywhere).await.map(|_| ())), "needs admin@*");

    let Caller::Bearer(bearer) = issuer else { panic!() };
    let issue = async |bearer| {
        let new = issue_new("acme/never");
        world.store.credential_issue(Caller::Bearer(bearer), new).await.map(|_| ()).unwrap_err()
    };
    let other = world.issue("acme/other").await.token;
    assert_eq!(issue(Bearer { token: other.id, ..bearer }).await, StoreError::Unauthenticated, "not its digest");
    let foreign = Bearer { token: other.id, digest: other.digest, address: None };
    assert_eq!(issue(foreign).await, StoreError::Unauthenticated, "not of the built-in namespace");
    let overlap = world.store.credential_rotate(Caller::System, CredentialRef::Id(issued.credential.id), span("10s"));
    overlap.await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(issue(bearer).await, StoreError::Unauthenticated, "expired");
}

#[tokio::test]
async fn every_mutation_leaves_one_audit_entry() {
    let world = World::<Sqlite>::with_acme().await;
    let (issuer, issued) = world.caller("issuer", &["issuer@acme"]).await;
    let made = world.store.credential_issue(issuer, issue_new("acme/a")).await.unwrap();
    let _refused = world.store.credential_issue(issuer, issue_new("acme/a")).await.unwrap_err();
    let raw = world.raw();
    let (entries, revisions): (i64, i64) = raw
        .query_row("SELECT count(*), count(DISTINCT revision) FROM audit", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let records = i64::try_from(world.records().await.len()).unwrap();
    assert_eq!((entries, revisions), (records, records));
    let sql = "SELECT revision, at, token, credential, address, action, namespace, object, reason FROM audit
        ORDER BY seq DESC LIMIT 1";
    let last = raw.query_row(sql, [], |row| {
        assert_eq!(row.get::<_, i64>(0)?, i64::try_from(made.revision.get()).unwrap());
        assert_eq!(row.get::<_, i64>(1)?, i64::try_from(made.credential.created_at.as_micros()).unwrap());
        assert_eq!(row.get::<_, [u8; 16]>(2)?, *issued.token.id.as_bytes());
        assert_eq!(row.get::<_, [u8; 16]>(3)?, *issued.credential.id.as_bytes());
        let texts: Result<Vec<Option<String>>, _> = (4..9).map(|column| row.get(column)).collect();
        texts
    });
    let object = made.credential.id.to_string();
    let expect = [Some("192.0.2.7"), Some("credential.issue"), Some("acme"), Some(&*object), None];
    assert_eq!(last.unwrap().iter().map(Option::as_deref).collect::<Vec<_>>(), expect);
}

async fn revisions_follow_the_clock_but_never_go_back<B: Backend>() {
    let world = World::<B>::with_acme().await;
    let first = world.issue("acme/a").await;
    world.clock.advance(Duration::from_secs(5));
    let second = world.issue("acme/b").await;
    assert!(second.revision.get() >= first.revision.get() + 4_000_000);
    world.clock.set_back(Duration::from_secs(3_600));
    let third = world.issue("acme/c").await;
    assert_eq!(third.revision.get(), second.revision.get() + 1);
    assert_eq!(third.token.issued_at, second.token.issued_at, "authority time does not go back either");
    let told = world.store.authority_time();
    assert!(world.reopened("second").store.authority_time() >= told, "nor over a restart");
}

#[test]
fn labels_keep_their_form() {
    let label = |text: &str| text.parse::<Label>().unwrap();
    assert!(Labels::new([label("a=1"), label("a=2")]).is_err());
    assert!(Labels::new((0..33).map(|n| label(&format!("k{n}=")))).is_err());
    let labels = Labels::new([label("b=2"), label("a=1")]).unwrap();
    assert_eq!(labels.iter().map(|label| &*label.key).collect::<Vec<_>>(), ["a", "b"]);
    assert!(!labels.is_empty() && Labels::default().is_empty());
    assert_eq!(named("acme/billing").to_string(), "acme/billing");
}
