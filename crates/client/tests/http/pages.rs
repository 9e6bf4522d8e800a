//! Lists, a page at a time.

use jeton_api::{
    credential::{CredentialQuery, CredentialState},
    problem::Code,
};
use jeton_types::Labels;
use serde_json::{Value, json};

use crate::{
    changes::issued,
    fake::{Fake, Reply, ok, problem},
};

fn page(names: &[&str], next: Value) -> Reply {
    let item = |name: &&str| {
        let mut credential = issued()["credential"].clone();
        credential["name"] = json!(name);
        credential
    };
    ok(&json!({ "items": names.iter().map(item).collect::<Vec<_>>(), "next": next }))
}

#[tokio::test]
async fn pages_are_read_as_they_are_asked_for() {
    let script = [page(&["a", "b"], json!("x y")), Reply::Hangup, page(&[], json!("z")), page(&["c"], Value::Null)];
    let fake = Fake::playing(script).await;
    let query = CredentialQuery {
        labels: Labels::new(["team=core".parse().unwrap(), "env=prod".parse().unwrap()]).unwrap(),
        state: Some(CredentialState::Active),
        ..CredentialQuery::default()
    };
    let mut pages = fake.client().credentials(&"acme".parse().unwrap(), &query);
    assert_eq!(fake.came().len(), 0);
    assert_eq!(pages.next().await.unwrap().unwrap().name.as_str(), "a");
    assert_eq!(fake.came().len(), 1);
    let rest = pages.next_page().await.unwrap().unwrap();
    assert_eq!((rest.len(), rest[0].name.as_str(), fake.came().len()), (1, "b", 1));
    assert_eq!(pages.next().await.unwrap().unwrap().name.as_str(), "c");
    assert!(pages.next().await.unwrap().is_none() && pages.next_page().await.unwrap().is_none());
    let base = "GET /v1/namespaces/acme/credentials?label=env%3Dprod&label=team%3Dcore&state=active&limit=250";
    let lines: Vec<String> = fake.came().iter().map(|came| came.line().to_owned()).collect();
    let second = format!("{base}&after=x%20y");
    assert_eq!(lines, [base.to_owned(), second.clone(), second, format!("{base}&after=z")]);
}

#[tokio::test]
async fn a_list_that_failed_goes_on_where_it_was() {
    let fake =
        Fake::playing([page(&["a"], json!("x")), problem(403, "forbidden", ""), page(&["b"], Value::Null)]).await;
    let mut pages = fake.client().credentials(&"acme".parse().unwrap(), &CredentialQuery::default());
    assert!(pages.next().await.unwrap().is_some());
    assert_eq!(pages.next().await.unwrap_err().code(), Some(Code::Forbidden));
    let rest = pages.all().await.unwrap();
    assert_eq!(rest[0].name.as_str(), "b");
}

#[tokio::test]
async fn a_credential_is_found_by_its_name() {
    let fake = Fake::playing([page(&["billing"], Value::Null), page(&[], Value::Null)]).await;
    let client = fake.client();
    assert_eq!(client.credential(&"acme/billing".parse().unwrap()).await.unwrap().name.as_str(), "billing");
    let error = client.credential(&"acme/other".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::NotFound));
    assert!(fake.came()[0].line().contains("?name=billing&"), "{}", fake.came()[0].line());
}

#[tokio::test]
async fn who_may_not_read_the_whole_trail_has_no_head() {
    let fake = Fake::playing([problem(403, "forbidden", ""), ok(&json!({ "seq": 0, "hash": "0".repeat(64) }))]).await;
    let client = fake.client();
    assert_eq!(client.audit_head().await.unwrap(), None);
    assert!(client.audit_head().await.unwrap().is_some());
}
