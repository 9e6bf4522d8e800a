//! Issues a token from a program, in a way that can be asked for again.
//!
//! ```text
//! jeton issue jeton/provisioner --scope issuer@acme --out provisioner.token
//! JETON_TOKEN_FILE=provisioner.token cargo run --example issue -- acme billing job-7 billing.token
//! ```
//!
//! Three things matter, and each is marked below: the key is the job's own and not a random one, so that a program that
//! died between asking and writing down asks again and gets the same secret; the place for the secret is opened before the
//! secret is made; and an outcome that is not known is not taken for a failure.

use jeton_api::credential::{Constraints, IssueRequest};
use jeton_client::{Client, Error};
use jeton_host::files::PrivateFile;
use jeton_types::{Labels, NamespaceName, ScopeSet};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [namespace, name, job, out] = arguments.as_slice() else {
        return Err("give NAMESPACE NAME JOB OUT".into());
    };
    let namespace: NamespaceName = namespace.parse()?;
    let client = Client::from_env()?;
    let request = IssueRequest {
        name: name.parse()?,
        subject: None,
        scopes: ScopeSet::parse(["orders:read"])?,
        labels: Labels::new(["team=core".parse()?])?,
        ttl: Some("90d".parse()?),
        constraints: Constraints::default(),
    };
    // Mode 0600, replaced as a whole; found to take the secret before there is one.
    let place = PrivateFile::prepare(out.as_ref())?;
    // The job's own key: whoever runs the job a second time gets what the first run made.
    match client.issue(&namespace, &request).key(job.parse()?).await {
        Ok(issued) => {
            place.finish(issued.token.secret.0.expose().as_bytes())?;
            println!("{} is {}, in {out}", issued.token.hint, issued.token.id);
            Ok(())
        }
        // It may have been made: run again, under the same key, to find out.
        Err(error @ Error::Unsettled { .. }) => Err(format!("{error}; run this again").into()),
        // Made by a run that spoke with another token. The secret cannot be had again; a new one can.
        Err(error @ Error::SecretUnavailable(_)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}
