use std::{fs, sync::Arc};

use jeton_authority::{Authority, StartClass, StartError};
use jeton_host::clock::{OsEntropy, SystemClock};
use tempfile::TempDir;

use crate::world::{World, config, start};

#[track_caller]
fn check(outcome: Result<jeton_authority::Running, StartError>, class: StartClass, says: &str) {
    let error = outcome.map(|_| ()).unwrap_err();
    assert_eq!(error.class(), class, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

#[tokio::test]
async fn two_authorities_on_one_folder() {
    let world = World::start().await;
    let second = start(&world.dir.path().join("data"), Arc::new(SystemClock)).await;
    check(second, StartClass::Usage, "in use");
    world.namespace("still").await;
    let folder = world.dir.path().join("data");
    world.running.shutdown().await;
    start(&folder, Arc::new(SystemClock)).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_port_in_use() {
    let world = World::start().await;
    let (http, feed) = (world.running.http_addr, world.running.feed_addr);
    let folder = TempDir::new().unwrap();
    let config = config(&folder.path().join("data"));
    for config in [
        jeton_authority::AuthorityConfig { http, ..config.clone() },
        jeton_authority::AuthorityConfig { feed, ..config.clone() },
    ] {
        let outcome = Authority::start(config, Arc::new(SystemClock), Arc::new(OsEntropy)).await;
        check(outcome, StartClass::Usage, "is in use");
    }
    // Nothing was begun, and the folder is free again.
    assert!(!folder.path().join("data/root.token").exists());
    start(&folder.path().join("data"), Arc::new(SystemClock)).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn beyond_loopback_only_when_allowed() {
    let folder = TempDir::new().unwrap();
    let config =
        jeton_authority::AuthorityConfig { http: "0.0.0.0:0".parse().unwrap(), ..config(&folder.path().join("data")) };
    let outcome = Authority::start(config.clone(), Arc::new(SystemClock), Arc::new(OsEntropy)).await;
    check(outcome, StartClass::Usage, "beyond loopback");
    let config = jeton_authority::AuthorityConfig { plaintext: true, ..config };
    let running = Authority::start(config, Arc::new(SystemClock), Arc::new(OsEntropy)).await.unwrap();
    running.shutdown().await;
}

#[tokio::test]
async fn folders_that_cannot_be_used() {
    let folder = TempDir::new().unwrap();
    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "chapter one").unwrap();
    check(start(&foreign, Arc::new(SystemClock)).await, StartClass::Usage, "thesis.txt");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1, "nothing was written into it");

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    check(start(&file, Arc::new(SystemClock)).await, StartClass::Usage, "not a folder");
    check(start(&file.join("below"), Arc::new(SystemClock)).await, StartClass::Usage, "not a folder");

    // Not even root may make a folder there.
    let unwritable = std::path::Path::new("/proc/jeton");
    check(start(unwritable, Arc::new(SystemClock)).await, StartClass::Usage, "/proc/jeton");
}

#[tokio::test]
async fn databases_that_cannot_be_used() {
    let folder = TempDir::new().unwrap();
    let corrupt = folder.path().join("corrupt");
    start(&corrupt, Arc::new(SystemClock)).await.unwrap().shutdown().await;
    let path = corrupt.join("jeton.db");
    let mut bytes = fs::read(&path).unwrap();
    // All but the header, so that it is still taken for ours.
    bytes[4096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    check(start(&corrupt, Arc::new(SystemClock)).await, StartClass::Internal, "corrupt");

    let foreign = folder.path().join("other");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("jeton.db"), "this is no database at all, but it has the name of one").unwrap();
    let error = start(&foreign, Arc::new(SystemClock)).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::Store(_)), "{error}");
}

#[tokio::test]
async fn a_key_that_others_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    start(&data, Arc::new(SystemClock)).await.unwrap().shutdown().await;
    fs::set_permissions(data.join("keys"), fs::Permissions::from_mode(0o755)).unwrap();
    check(start(&data, Arc::new(SystemClock)).await, StartClass::Usage, "chmod 700");
}

#[tokio::test]
async fn a_root_token_that_cannot_be_written() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("root.token")).unwrap();
    fs::write(data.join("jeton.lock"), "").unwrap();
    check(start(&data, Arc::new(SystemClock)).await, StartClass::Usage, "root token");
    fs::remove_dir(data.join("root.token")).unwrap();
    let running = start(&data, Arc::new(SystemClock)).await.unwrap();
    assert!(running.root_token.is_some(), "it was not taken for written");
    running.shutdown().await;
}

#[tokio::test]
async fn the_root_token_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::start().await;
    let path = world.running.root_token.clone().unwrap();
    assert_eq!(path, world.dir.path().join("data/root.token"));
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}
