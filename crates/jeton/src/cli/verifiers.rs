//! `jeton verifiers`.

use jeton_types::Span;

use super::client;
use crate::{
    args::Connection,
    exit::{Exit, Outcome},
    output,
};

pub async fn run(connection: Connection, json: bool) -> Outcome {
    let all = client(&connection)?.verifiers().all().await?;
    if json {
        output::document(&all)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 7]> = all
        .iter()
        .map(|view| {
            let namespaces: Vec<&str> = view.namespaces.iter().map(jeton_types::NamespaceName::as_str).collect();
            [
                view.id.to_string(),
                view.session.to_string(),
                namespaces.join(","),
                view.state.to_string(),
                Span::from_millis(view.lag_ms).to_string(),
                Span::from_millis(view.lease_remaining_ms).to_string(),
                output::or_dash(view.silent_since.as_ref()),
            ]
        })
        .collect();
    output::table(["VERIFIER", "SESSION", "NAMESPACES", "STATE", "LAG", "LEASE", "SILENT SINCE"], &rows)?;
    Ok(Exit::Done)
}
