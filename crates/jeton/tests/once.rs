//! What was asked for under a key is done once, also across `kill -9`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends here")]

use std::{collections::BTreeMap, net::SocketAddr};

use jeton_api::credential::{CredentialQuery, IssueRequest};
use jeton_client::{Client, Error};
use jeton_testkit::{Authority, Jeton, Output};
use jeton_types::Secret;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
};

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

/// Stands before an authority and loses the first `losses` answers, after the authority has made them.
async fn lossy(to: SocketAddr, losses: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                if connection >= losses {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    return;
                }
                let (mut from_client, _kept) = client.split();
                let (mut from_server, mut to_server) = server.split();
                let mut answer = [0; 1];
                // Until it begins to answer: then it has been done.
                tokio::select! {
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                    _ = from_server.read(&mut answer) => {}
                }
            });
        }
    });
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_answers_are_lost_does_its_work_once() {
    let jeton = Jeton::new(env!("CARGO_BIN_EXE_jeton"));
    let authority = jeton.serve("data");
    let through = async |losses: usize, arguments: &[&str]| {
        let url = format!("http://{}", lossy(authority.http, losses).await);
        let mut command = jeton.command_as_root(&authority, arguments);
        command.env("JETON_URL", url);
        tokio::task::spawn_blocking(move || Output::of(command)).await.unwrap()
    };
    let _ = through(2, &["namespace", "create", "acme", "--prefix", "acme"]).await.expect(0);
    let issued = through(3, &["--json", "issue", "acme/billing"]).await.expect(0).json();
    std::fs::write(jeton.path("secret"), issued["token"]["secret"].as_str().unwrap()).unwrap();
    let _ = jeton.as_root(&authority, &["verify", "secret"]).expect(0);
    let revoked = through(1, &["--json", "revoke", "--secret-file", "secret", "--namespace", "acme"]).await.expect(0);
    assert_eq!(revoked.json()["count"], 1);
    // Lost each time: what is not known is said, and the exit code is that of nobody there.
    let lost = through(9, &["issue", "acme/other"]).await.expect(3);
    assert!(lost.err.contains("whether it was done is not known") && lost.out.is_empty(), "{lost:?}");
    let audit = jeton.as_root(&authority, &["--json", "audit", "list"]).expect(0).json();
    let of_acme = audit.as_array().unwrap().iter().filter(|entry| entry["namespace"] == "acme");
    let actions: Vec<&str> = of_acme.map(|entry| entry["action"].as_str().unwrap()).collect();
    let count = |action| actions.iter().filter(|found| **found == action).count();
    assert_eq!((count("namespace.create"), count("credential.issue")), (1, 2), "{actions:?}");
    assert_eq!(authority.stop().code, 0);
}
