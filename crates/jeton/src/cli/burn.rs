//! `jeton burn`.

use jeton_api::{revocation::BurnRequest, secret::SecretText};

use super::{open_client, read_secret};
use crate::{
    args::BurnArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

pub async fn run(args: BurnArgs, json: bool) -> Outcome {
    let token = read_secret(&args.token)?;
    jeton_types::token::parse(token.expose().as_bytes())
        .map_err(|malformed| Failure::usage(format!("{}: {malformed}", args.token.display())))?;
    // Holding the token is the right to end it: nothing else is asked for.
    let client = open_client(&args.url)?;
    let request = BurnRequest { token: SecretText(token), reason: args.reason };
    let view = client.burn(&request).await?;
    if json {
        output::document(&view)?;
    } else {
        output::line("accepted: if this authority ever issued that token, it has ended, for good")?;
    }
    Ok(Exit::Done)
}
