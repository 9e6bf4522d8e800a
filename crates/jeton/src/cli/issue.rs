//! `jeton issue`.

use jeton_api::credential::{Constraints, IssueRequest};
use jeton_types::{AddressList, Labels, ScopeSet};

use super::client;
use crate::{
    args::IssueArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

pub async fn run(args: IssueArgs, json: bool) -> Outcome {
    let namespace = args.credential.namespace;
    let request = IssueRequest {
        name: args.credential.name,
        subject: args.subject,
        scopes: ScopeSet::new(args.scopes).map_err(Failure::usage)?,
        labels: Labels::new(args.labels).map_err(Failure::usage)?,
        ttl: args.ttl,
        constraints: Constraints { addresses: AddressList::new(args.addresses).map_err(Failure::usage)? },
    };
    let client = client(&args.connection)?;
    let place = output::SecretOut::prepare(args.out.as_deref())?;
    let issued = client.issue(&namespace, &request).await?;
    place.hand_out(&issued, &issued.token, json)?;
    if let Some(out) = &args.out {
        output::note(&format!("wrote {} to {}", issued.token.hint, out.display()));
    }
    Ok(Exit::Done)
}
