//! `jeton keys`.

use jeton_api::key::JwkSet;

use super::open_client;
use crate::{
    args::Connection,
    exit::{Exit, Outcome},
    output,
};

pub async fn run(connection: Connection) -> Outcome {
    // The keys are public: no token is needed, and the document is the same with and without --json.
    let keys: JwkSet = open_client(&connection)?.get("/.well-known/jwks.json").await?;
    output::document(&keys)?;
    Ok(Exit::Done)
}
