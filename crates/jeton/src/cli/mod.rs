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

use jeton_client::{Change, Client, Error};
use jeton_types::{NamespaceName, Revision, Secret};
use serde::de::DeserializeOwned;

use crate::{
    args::Connection,
    exit::{Exit, Failure},
};

/// A client that speaks as whoever the connection's token belongs to: `--token-file`, `JETON_TOKEN_FILE` or `JETON_TOKEN`,
/// in this order.
pub fn client(connection: &Connection) -> Result<Client, Failure> {
    let builder = Client::builder(&connection.url);
    let builder = match &connection.token_file {
        Some(file) => builder.token_file(file),
        None => builder.token_from_env(),
    };
    Ok(builder.build()?)
}

/// A client without a token, for what is open to all.
pub fn open_client(url: &str) -> Result<Client, Failure> {
    Ok(Client::builder(url).build()?)
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

/// What a change answers that may be meant for one state of the thing only.
pub async fn changed_from<T: DeserializeOwned>(change: Change<'_, T>, revision: Option<Revision>) -> Result<T, Error> {
    match revision {
        Some(revision) => change.if_match(revision).await,
        None => change.await,
    }
}

/// The namespace whose tokens have this prefix.
pub async fn namespace_of_prefix(client: &Client, prefix: &str) -> Result<NamespaceName, Failure> {
    let mut all = client.namespaces();
    while let Some(namespace) = all.next().await? {
        if namespace.prefix.as_str() == prefix {
            return Ok(namespace.name);
        }
    }
    Err(Failure::new(
        Exit::Refused,
        format!(
            "nothing matched: no namespace that you may see has the prefix {prefix}; is it another authority's token?"
        ),
    ))
}
