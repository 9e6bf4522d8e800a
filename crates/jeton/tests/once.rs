//! What was asked for under a key is done once, also across `kill -9`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

use std::collections::BTreeMap;

use jeton_api::credential::{CredentialQuery, IssueRequest};
use jeton_client::{Client, Error};
use jeton_testkit::{Authority, Jeton};
use jeton_types::Secret;

const ROUNDS: usize = 5;
const CALLS: usize = 24;

fn client(authority: &Authority) -> Client {
    Client::builder(authority.url()).token(Secret::new(authority.root_token())).build().unwrap()
}

async fn issue(client: Client, name: String) -> Option<(String, String)> {
    let request: IssueRequest = serde_json::from_value(serde_json::json!({ "name": name })).unwrap();
    let key = format!("key-{name}");
    match client.issue(&"acme".parse().unwrap(), &request).key(key.parse().unwrap()).await {
        Ok(issued) => Some((name, issued.token.secret.0.expose().clone())),
        Err(Error::Unreachable(_) | Error::Unsettled { .. }) => None,
        Err(other) => panic!("{name}: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_doubled_or_lost_by_a_kill() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let mut authority = jeton.serve("data");
    let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme"]).expect(0);
    let mut acknowledged = BTreeMap::new();
    for round in 0..ROUNDS {
        let api = client(&authority);
        let mut calls = tokio::task::JoinSet::new();
        for call in 0..CALLS {
            calls.spawn(issue(api.clone(), format!("c-{round}-{call}")));
        }
        // In the middle of it: some have been answered, and some have not.
        for _ in 0..=round {
            if let Some(Some((name, secret))) = calls.join_next().await.map(Result::unwrap) {
                acknowledged.insert(name, secret);
            }
        }
        authority.kill();
        while let Some(done) = calls.join_next().await {
            acknowledged.extend(done.unwrap());
        }
        authority = jeton.serve("data");
        let api = client(&authority);
        for call in 0..CALLS {
            let (name, secret) = issue(api.clone(), format!("c-{round}-{call}")).await.unwrap();
            let told = acknowledged.entry(name.clone()).or_insert_with(|| secret.clone());
            assert_eq!(*told, secret, "{name}");
        }
    }
    let api = client(&authority);
    for (name, secret) in &acknowledged {
        let (_, again) = issue(api.clone(), name.clone()).await.unwrap();
        assert_eq!(again, *secret, "{name}");
    }
    let all = api.credentials(&"acme".parse().unwrap(), &CredentialQuery::default()).all().await.unwrap();
    assert_eq!(all.len(), ROUNDS * CALLS);
    let _ = jeton.as_root(&authority, &["audit", "verify"]).expect(0);
    assert_eq!(authority.stop().code, 0);
}
