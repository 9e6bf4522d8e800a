//! What a client is made from.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use jeton_client::{Client, SetupError, read_token};
use jeton_types::{Prefix, Revision, Secret, token};
use serde_json::json;

use crate::fake::{Fake, admin_token, ok, problem};

#[test]
fn urls() {
    let url = |url: &str| Client::builder(url).build().map(|client| client.url()).map_err(|error| error.to_string());
    assert_eq!(url("http://127.0.0.1:7400"), Ok("http://127.0.0.1:7400".to_owned()));
    assert_eq!(url("http://h/a/"), Ok("http://h/a".to_owned()));
    for bad in ["", "127.0.0.1:7400", "https://h", "ftp://h", "http://", "/v1", "http://h/?a=b", "http://u:pw@h"] {
        let error = url(bad).unwrap_err();
        assert!(error.contains("http://127.0.0.1:7400") && !error.contains("pw"), "{error}");
    }
}

fn put(path: &Path, token: &Secret<String>) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, format!("{}\n", token.expose())).unwrap();
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&fresh, path).unwrap();
}

#[test]
fn what_is_no_token_is_found_at_once_and_not_repeated() {
    let acme = token::mint(&"acme_live".parse::<Prefix>().unwrap(), Revision::ZERO, [3; token::RANDOM_BYTES]);
    let acme = Secret::new(acme.text.expose().clone());
    let build = |token: &str| Client::builder("http://h").token(Secret::new(token.to_owned())).build().unwrap_err();
    assert!(matches!(build(acme.expose()), SetupError::Foreign { .. }));
    let broken = format!("{}x", admin_token(7).expose());
    for wrong in ["hello", "a\nb", "", &broken] {
        let error = build(wrong);
        assert!(matches!(error, SetupError::Form { .. }), "{error}");
        assert!(wrong.is_empty() || !error.to_string().contains(wrong), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    assert!(matches!(read_token(&path), Err(SetupError::File(_))));
    put(&path, &acme);
    let error = Client::builder("http://h").token_file(&path).build().unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("jtn_"), "{error}");
    put(&path, &admin_token(7));
    assert_eq!(read_token(&path).unwrap().expose(), admin_token(7).expose());
}

#[tokio::test]
async fn a_token_file_is_read_again_when_its_token_is_not_known_any_more() {
    let refused = || problem(401, "unauthenticated", "");
    let fake = Fake::playing([refused(), ok(&json!({ "keys": [] })), refused(), refused()]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    put(&path, &admin_token(1));
    let client = Client::builder(&fake.url).token_file(&path).build().unwrap();
    put(&path, &admin_token(2));
    assert!(client.keys().await.is_ok());
    // The file holds the same: nothing to try again with.
    assert!(client.keys().await.is_err());
    let bearers = fake.headers("authorization");
    let bearer = |seed| Some(format!("Bearer {}", admin_token(seed).expose()));
    assert_eq!(bearers, [bearer(1), bearer(2), bearer(2)]);
    // And once more only, though there is another again.
    put(&path, &admin_token(3));
    assert!(client.keys().await.is_err());
}

#[test]
fn debug_shows_no_secret() {
    let client = Client::builder("http://h").token(admin_token(7)).build().unwrap();
    assert_eq!(format!("{client:?}"), r#"Client { url: "http://h", .. }"#);
}
