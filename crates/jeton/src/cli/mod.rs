//! The operator's commands: each asks the authority and prints what it says.

pub mod audit;
pub mod burn;
pub mod completions;
pub mod credential;
pub mod doctor;
pub mod issue;
pub mod keys;
pub mod namespace;
pub mod receipt;
pub mod revoke;
pub mod rotate;
pub mod token;
pub mod verifiers;
pub mod verify;
pub mod watch;

use std::path::{Path, PathBuf};

use jeton_api::{credential::CredentialView, page::Page};
use jeton_client::http::ApiClient;
use jeton_types::{CredentialRef, NamespaceName, Prefix, Secret};
use serde::de::DeserializeOwned;

use crate::{
    args::Connection,
    exit::{Exit, Failure},
};

/// A client that speaks as whoever the connection's token belongs to.
pub fn client(connection: &Connection) -> Result<ApiClient, Failure> {
    ApiClient::new(&connection.url, Some(token(connection)?)).map_err(Failure::usage)
}

/// A client without a token, for what is open to all.
pub fn open_client(connection: &Connection) -> Result<ApiClient, Failure> {
    ApiClient::new(&connection.url, None).map_err(Failure::usage)
}

/// The caller's token: `--token-file`, `JETON_TOKEN_FILE` or `JETON_TOKEN`, in this order.
fn token(connection: &Connection) -> Result<Secret<String>, Failure> {
    if let Some(file) = &connection.token_file {
        return own_token(file);
    }
    match std::env::var("JETON_TOKEN") {
        Ok(token) if !token.trim().is_empty() => good_form(Secret::new(token.trim().to_owned()), "JETON_TOKEN"),
        _ => Err(Failure::usage(
            "no token: give --token-file FILE or set JETON_TOKEN_FILE (the first start of `jeton serve` writes root.token into its data folder)",
        )),
    }
}

/// The token with which this process itself speaks, out of a file that only its owner may read.
pub fn own_token(file: &Path) -> Result<Secret<String>, Failure> {
    let token = jeton_host::files::read_private(file).map_err(|error| Failure::caused(Exit::Usage, &error))?;
    good_form(token, &file.display().to_string())
}

/// A mistaken file is found here, where its name can be told, and not by a refusal from afar.
fn good_form(token: Secret<String>, from: &str) -> Result<Secret<String>, Failure> {
    match jeton_types::token::parse(token.expose().as_bytes()).map(|parsed| parsed.prefix == Prefix::BUILT_IN) {
        Ok(true) => Ok(token),
        Ok(false) => Err(Failure::usage(format!(
            "{from} holds a token of another namespace: what is needed is one of namespace jeton, which begins with {}_",
            Prefix::BUILT_IN
        ))),
        Err(malformed) => Err(Failure::usage(format!("{from} holds something else: {malformed}"))),
    }
}

/// Reads a secret that somebody wants looked at: from a file, or from standard input for `-`. The file may be one that
/// was found somewhere, so its mode does not matter.
pub fn read_secret(path: &Path) -> Result<Secret<String>, Failure> {
    use std::io::Read as _;

    /// Longer than any token, with room for white space around it.
    const BYTES_MAX: u64 = 4_096;
    if path.to_str().is_some_and(|text| jeton_types::token::parse(text.as_bytes()).is_ok()) {
        return Err(Failure::usage(
            "that is a token and no file: put it into a file, or give `-` and write it to standard input; other users \
             of this machine can read arguments, so replace it",
        ));
    }
    let read = |source: &mut dyn std::io::Read| -> std::io::Result<Secret<String>> {
        let mut text = String::new();
        source.take(BYTES_MAX).read_to_string(&mut text)?;
        Ok(Secret::new(text))
    };
    let (shown, found) = if path == Path::new("-") {
        (PathBuf::from("standard input"), read(&mut std::io::stdin().lock()))
    } else {
        (path.to_owned(), std::fs::File::open(path).and_then(|mut file| read(&mut file)))
    };
    let found = found.map_err(|error| Failure::usage(format!("{}: {error}", shown.display())))?;
    let text = Secret::new(found.expose().trim().to_owned());
    if text.expose().is_empty() {
        return Err(Failure::usage(format!("{} holds no token", shown.display())));
    }
    Ok(text)
}

/// The credential that a person named, by id or by name.
pub async fn credential(client: &ApiClient, wanted: &CredentialRef) -> Result<CredentialView, Failure> {
    match wanted {
        CredentialRef::Id(id) => Ok(client.get(&format!("/v1/credentials/{id}")).await?),
        CredentialRef::Name(namespace, name) => {
            let page: Page<CredentialView> =
                client.get(&format!("/v1/namespaces/{namespace}/credentials?name={name}")).await?;
            page.items.into_iter().next().ok_or_else(|| {
                Failure::new(
                    Exit::Refused,
                    format!(
                        "not_found: no credential {wanted}; `jeton credential list {namespace}` shows what there is"
                    ),
                )
            })
        }
    }
}

/// A key for one mutation: 128 random bits, so that nobody else comes upon it.
pub fn idempotency_key() -> String {
    use jeton_types::Entropy as _;

    let mut bytes = [0; 16];
    jeton_host::clock::OsEntropy.fill(&mut bytes);
    format!("cli-{:032x}", u128::from_be_bytes(bytes))
}

/// All pages of a list, one after the other.
pub async fn pages<T: DeserializeOwned>(client: &ApiClient, path: &str) -> Result<Vec<T>, Failure> {
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let joint = if path.contains('?') { '&' } else { '?' };
        let query = after.as_ref().map(|after| format!("{joint}after={after}")).unwrap_or_default();
        let page: Page<T> = client.get(&format!("{path}{query}")).await?;
        items.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(items),
        }
    }
}

/// The namespace whose tokens have this prefix.
pub async fn namespace_of_prefix(client: &ApiClient, prefix: &str) -> Result<NamespaceName, Failure> {
    let all: Vec<jeton_api::namespace::NamespaceView> = pages(client, "/v1/namespaces").await?;
    all.into_iter().find(|namespace| namespace.prefix.as_str() == prefix).map(|namespace| namespace.name).ok_or_else(|| {
        Failure::new(
            Exit::Refused,
            format!("nothing matched: no namespace that you may see has the prefix {prefix}; is it another authority's token?"),
        )
    })
}
