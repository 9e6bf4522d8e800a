//! `jeton verify`.

use jeton_api::{
    secret::SecretText,
    verify::{MaxAgeMs, VerifyRequest},
};
use jeton_types::ScopeSet;

use super::{client, open_client, read_secret};
use crate::{
    args::VerifyArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

pub async fn run(args: VerifyArgs, json: bool) -> Outcome {
    let token = read_secret(&args.token)?;
    let client = match &args.at {
        // A sidecar's listener is for its neighbours: it asks for no token.
        Some(url) => open_client(url)?,
        None => client(&args.connection)?,
    };
    let max_age = args.max_age.map(|age| u64::try_from(age.duration().as_millis()).unwrap_or(u64::MAX));
    let request = VerifyRequest {
        token: SecretText(token),
        scopes: ScopeSet::new(args.scopes).map_err(Failure::usage)?,
        client_address: args.client_address,
        at_least_revision: args.at_least_revision,
        max_age_ms: max_age.map(MaxAgeMs::try_from).transpose().map_err(Failure::usage)?,
    };
    let verdict = client.verify(&request).await?;
    if json {
        output::document(&verdict)?;
    } else if verdict.valid {
        output::line(&format!(
            "valid: {} of {}, subject {}, scopes {}",
            output::or_dash(verdict.token_id.as_ref()),
            output::or_dash(verdict.namespace.as_ref()),
            output::or_dash(verdict.subject.as_ref()),
            if verdict.scopes.is_empty() { "-".to_owned() } else { verdict.scopes.to_string() },
        ))?;
    } else {
        output::line(&format!("{}: do not let it in", verdict.code))?;
    }
    Ok(if verdict.valid { Exit::Done } else { Exit::Refused })
}
