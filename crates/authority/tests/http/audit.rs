use std::{fs, io::BufReader, sync::Arc};

use http::StatusCode;
use jeton_api::audit::{AuditHeadView, AuditView, EXPORT_FORMAT, ExportHeader};
use jeton_authority::{StartClass, doctor};
use jeton_client::audit::{AuditCheck, check};
use jeton_host::clock::{OsEntropy, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{World, config, read_root, start, text};

async fn page(world: &World, token: &str, query: &str) -> (Vec<AuditView>, Value) {
    let answer = world.get_as(token, &format!("/v1/audit{query}")).await.expect(StatusCode::OK).json();
    (serde_json::from_value(answer["items"].clone()).unwrap(), answer["next"].clone())
}

async fn head(world: &World) -> AuditHeadView {
    serde_json::from_value(world.get("/v1/audit/head").await.expect(StatusCode::OK).json()).unwrap()
}

#[tokio::test]
async fn who_did_what_from_where_and_why() {
    let world = World::start().await;
    world.namespace("acme").await;
    let (id, secret) = world.issue("jeton", "second", &["admin@*"]).await;
    let body = json!({"name": "billing"});
    world.post_as(&secret, "/v1/namespaces/acme/credentials", body).await.expect(StatusCode::CREATED);
    let body = json!({"selector": {"credential": "acme/billing"}, "reason": "found in a public repository"});
    world.post_as(&secret, "/v1/namespaces/acme/revocations", body).await.expect(StatusCode::CREATED);
    let (entries, next) = page(&world, &world.root, "").await;
    assert!(next.is_null());
    let last = entries.last().unwrap();
    assert_eq!((last.action.as_str(), last.namespace.as_str()), ("revocation.create", "acme"));
    assert_eq!(last.credential_id.unwrap().to_string(), id);
    assert_eq!(last.address.as_deref(), Some("127.0.0.1"));
    assert_eq!(last.reason.as_deref(), Some("found in a public repository"));
    assert!(last.object.starts_with("rev_"));
    assert_eq!((entries[0].token_id, entries[0].action.as_str()), (None, "start.record"));

    let head = head(&world).await;
    assert_eq!((head.seq, head.hash), (entries.len() as u64, last.hash));
    let mut checking = AuditCheck::new(Some(head));
    entries.into_iter().for_each(|entry| checking.push(entry).unwrap());
    assert!(checking.finish().unwrap().whole);
}

#[tokio::test]
async fn one_reads_of_the_namespaces_that_one_audits() {
    let world = World::start().await;
    world.namespace("acme").await;
    world.namespace("other").await;
    for number in 0..3 {
        world.issue("acme", &format!("a{number}"), &[]).await;
        world.issue("other", &format!("o{number}"), &[]).await;
    }
    let (_, auditor) = world.issue("jeton", "auditor", &["auditor@acme"]).await;
    let (_, issuer) = world.issue("jeton", "issuer", &["issuer@acme"]).await;
    world.get_as(&issuer, "/v1/audit").await.problem(403, "forbidden");
    world.get_as(&auditor, "/v1/audit/head").await.problem(403, "forbidden");
    world.get_as(&auditor, "/v1/audit?namespace=other").await.problem(403, "forbidden");
    for query in ["?limit=0", "?after=x", "?after=-1", "?who=me"] {
        world.get(&format!("/v1/audit{query}")).await.problem(400, "invalid_request");
    }

    let (mine, next) = page(&world, &auditor, "").await;
    assert_eq!((mine.len(), next), (4, Value::Null));
    assert!(mine.iter().all(|entry| entry.namespace.as_str() == "acme"));
    assert_eq!(page(&world, &world.root, "?namespace=acme").await.0, mine);
    let mut checking = AuditCheck::new(None);
    mine.iter().for_each(|entry| checking.push(entry.clone()).unwrap());
    assert!(!checking.finish().unwrap().whole);

    for token in [&auditor, &world.root] {
        let (all, _) = page(&world, token, "").await;
        let (mut paged, mut after) = (Vec::new(), String::new());
        loop {
            let (entries, next) = page(&world, token, &format!("?limit=2{after}")).await;
            assert!(entries.len() <= 2);
            paged.extend(entries);
            if next.is_null() {
                break;
            }
            after = format!("&after={}", text(&next));
        }
        assert_eq!(paged, all);
    }
}

/// Whatever single thing is done to an export, it is found, and the place is named.
#[tokio::test]
async fn an_export_checks_offline() {
    let world = World::start().await;
    world.namespace("acme").await;
    for number in 0..4 {
        world.issue("acme", &format!("c{number}"), &[]).await;
    }
    let head = head(&world).await;
    let header = ExportHeader { format: EXPORT_FORMAT.to_owned(), head: Some(head) };
    let mut lines = vec![serde_json::to_string(&header).unwrap()];
    let (entries, _) = page(&world, &world.root, "").await;
    lines.extend(entries.iter().map(|entry| serde_json::to_string(entry).unwrap()));
    let told = |lines: &[String]| {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        check(BufReader::new(text.as_bytes())).map(|checked| checked.count).map_err(|error| error.to_string())
    };
    let count = entries.len();
    assert_eq!(told(&lines), Ok(count as u64));
    for place in 1..=count {
        let mut dropped = lines.clone();
        dropped.remove(place);
        assert_eq!(told(&dropped), Err(format!("entry {place} is missing")));
        let mut altered = lines.clone();
        altered[place] = altered[place].replace("\"reason\":null", "\"reason\":\"\"");
        assert_eq!(told(&altered), Err(format!("entry {place} was altered: its hash is not that of what it says")));
        if place < count {
            let mut swapped = lines.clone();
            swapped.swap(place, place + 1);
            assert_eq!(told(&swapped), Err(format!("entry {place} is missing")));
        }
    }
    let text = format!("{}\n", lines.join("\n"));
    for cut in 1..text.len() {
        assert!(check(BufReader::new(&text.as_bytes()[..cut])).is_err(), "cut after {cut} bytes");
    }
}

#[tokio::test]
async fn a_lost_root_token_is_replaced_offline() {
    let world = World::start().await;
    let data = world.dir.path().join("data");
    let config = config(&data);
    let replace = || doctor::root_token(&config, Arc::new(SystemClock), Arc::new(OsEntropy));
    let error = replace().await.unwrap_err();
    assert_eq!(error.class(), StartClass::Usage);
    assert!(error.to_string().contains("in use"), "{error}");
    let lost = world.root.clone();
    let dir = world.dir;
    world.running.shutdown().await;
    fs::remove_file(data.join("root.token")).unwrap();

    let replaced = replace().await.unwrap();
    assert_eq!(replaced.root_token, data.join("root.token"));
    assert_ne!(read_root(&data), lost);
    let world = World::start_in(dir).await;
    world.get_as(&lost, "/v1/namespaces").await.problem(401, "unauthenticated");
    world.get("/v1/namespaces").await.expect(StatusCode::OK);
    let revocation = world.get(&format!("/v1/revocations/{}", replaced.revocation.unwrap())).await;
    assert_eq!(revocation.expect(StatusCode::OK).json()["namespace"], "jeton");
    let (entries, _) = page(&world, &world.root, "?namespace=jeton").await;
    let entry = entries.iter().find(|entry| entry.action == "root.replace").unwrap();
    assert_eq!((entry.revision, entry.token_id), (replaced.revision, None));

    let empty = TempDir::new().unwrap();
    let config = crate::world::config(&empty.path().join("typo"));
    let error = doctor::root_token(&config, Arc::new(SystemClock), Arc::new(OsEntropy)).await.unwrap_err();
    assert_eq!(error.class(), StartClass::Usage);
    assert!(!empty.path().join("typo").exists(), "nothing was made");
}

#[tokio::test]
async fn the_root_token_goes_where_it_is_wanted() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("operator.token"));
    let config = jeton_authority::AuthorityConfig { root_token_file: Some(file.clone()), ..config(&data) };
    let running = jeton_authority::Authority::start(config, Arc::new(SystemClock), Arc::new(OsEntropy)).await.unwrap();
    assert_eq!(running.root_token, Some(file.clone()));
    assert!(file.is_file() && !data.join("root.token").exists());
    running.shutdown().await;
    // Made once: a later start writes it nowhere.
    let running = start(&data, Arc::new(SystemClock)).await.unwrap();
    assert!(running.root_token.is_none() && !data.join("root.token").exists());
    running.shutdown().await;
}
