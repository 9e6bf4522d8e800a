//! Ends every token of a subject, and comes back when nobody accepts one any more.
//!
//! ```text
//! jeton issue jeton/offboarding --scope revoker@acme --out offboarding.token
//! JETON_TOKEN_FILE=offboarding.token cargo run --example revoke_and_wait -- acme user:ada
//! ```

use std::time::Duration;

use jeton_api::{
    problem::Code,
    revocation::{RevokeRequest, SelectorRequest, Wait},
};
use jeton_client::{Client, receipt};
use jeton_types::NamespaceName;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [namespace, subject] = arguments.as_slice() else { return Err("give NAMESPACE SUBJECT".into()) };
    let namespace: NamespaceName = namespace.parse()?;
    let client = Client::from_env()?;
    let request = RevokeRequest {
        selector: SelectorRequest { subject: Some(subject.parse()?), ..SelectorRequest::default() },
        reason: Some("left the company".parse()?),
        wait: Wait::Complete,
        timeout_ms: None,
        dry_run: false,
    };
    let view = match client.revoke_and_wait(&namespace, &request, Duration::from_secs(60)).await {
        Ok(view) => view,
        // Nothing to end is what was wanted, too.
        Err(error) if error.code() == Some(Code::NotFound) => {
            println!("no token of {subject} was ever there");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    println!("{} ended {} tokens at revision {}", view.id, view.count, view.revision);
    if !view.receipt.is_complete() {
        // It holds all the same: these may go on for so long and no longer.
        for line in view.receipt.pending() {
            println!("{} may accept until {:?}", line.id, line.stops_by);
        }
        return Err("not everybody has acknowledged yet".into());
    }
    // The proof, to be kept and checked by whoever doubts it, without any authority.
    let (jws, keys) = (client.receipt(view.id).await?, client.keys().await?);
    println!("{}", receipt::check(&jws, &keys)?.statement);
    Ok(())
}
