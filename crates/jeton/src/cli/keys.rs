//! `jeton keys`.

use super::open_client;
use crate::{
    args::Connection,
    exit::{Exit, Outcome},
    output,
};

pub async fn run(connection: Connection) -> Outcome {
    // The keys are public: no token is needed, and the document is the same with and without --json.
    let keys = open_client(&connection.url)?.keys().await?;
    output::document(&keys)?;
    Ok(Exit::Done)
}
