//! `jeton credential`.

use std::time::Instant;

use jeton_api::{
    credential::{CredentialChangedView, CredentialPatch, CredentialQuery, CredentialView},
    page::LIMIT_MAX,
    time::Timestamp,
    token::TokenView,
};
use jeton_client::http::ApiClient;
use jeton_types::{CredentialRef, Labels, ScopeSet};

use super::{client, credential, pages, revoke, token};
use crate::{
    args::{Connection, CredentialCommand, CredentialEndArgs, CredentialListArgs, CredentialUpdateArgs, EndingArgs},
    exit::{Exit, Failure, Outcome},
    output,
};

pub async fn run(command: CredentialCommand, json: bool) -> Outcome {
    match command {
        CredentialCommand::List(args) => {
            let all: Vec<CredentialView> = pages(&client(&args.connection)?, &list_path(&args)?).await?;
            if json {
                output::document(&all)?;
            } else {
                let rows: Vec<[String; 6]> = all
                    .iter()
                    .map(|view| {
                        [
                            format!("{}/{}", view.namespace, view.name),
                            view.id.to_string(),
                            view.state.to_string(),
                            output::or_dash(view.subject.as_ref()),
                            view.scopes.to_string(),
                            view.created_at.to_string(),
                        ]
                    })
                    .collect();
                output::table(["CREDENTIAL", "ID", "STATE", "SUBJECT", "SCOPES", "CREATED"], &rows)?;
            }
        }
        CredentialCommand::Show { credential: wanted, connection } => {
            let client = client(&connection)?;
            let view = credential(&client, &wanted).await?;
            let tokens: Vec<TokenView> = pages(&client, &format!("/v1/credentials/{}/tokens", view.id)).await?;
            if json {
                output::document(&serde_json::json!({ "credential": view, "tokens": tokens }))?;
            } else {
                output::line(&format!("credential  {}/{}", view.namespace, view.name))?;
                output::line(&format!("id          {}", view.id))?;
                output::line(&format!("state       {}", view.state))?;
                output::line(&format!("subject     {}", output::or_dash(view.subject.as_ref())))?;
                output::line(&format!("scopes      {}", view.scopes))?;
                output::line(&format!("ttl         {}", output::or_dash(view.ttl.as_ref())))?;
                output::line(&format!("created     {}", view.created_at))?;
                token::print(&tokens)?;
            }
        }
        CredentialCommand::Update(args) => {
            let patch = patch(&args).map_err(Failure::usage)?;
            return change(&args.connection, &args.credential, patch, &args.ending, json).await;
        }
        CredentialCommand::Disable(args) => {
            let patch = CredentialPatch { disabled: Some(true), ..ending(&args.ending) };
            return change(&args.connection, &args.credential, patch, &args.ending, json).await;
        }
        CredentialCommand::Enable(args) => {
            let patch = CredentialPatch { disabled: Some(false), ..ending(&args.ending) };
            return change(&args.connection, &args.credential, patch, &args.ending, json).await;
        }
        CredentialCommand::Delete(args) => return delete(args, json).await,
    }
    Ok(Exit::Done)
}

fn list_path(args: &CredentialListArgs) -> Result<String, Failure> {
    let query = CredentialQuery {
        subject: args.subject.clone(),
        labels: Labels::new(args.labels.clone()).map_err(Failure::usage)?,
        state: args.state,
        limit: Some(LIMIT_MAX),
        ..CredentialQuery::default()
    };
    let pairs = query.pairs().into_iter().map(|(name, value)| format!("{name}={}", encode(&value)));
    let query = pairs.collect::<Vec<_>>().join("&");
    Ok(format!("/v1/namespaces/{}/credentials?{query}", args.namespace))
}

/// A value of a query: all that is not plainly itself is written as bytes.
fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// What the change of an ending says beside what it changes.
fn ending(args: &EndingArgs) -> CredentialPatch {
    CredentialPatch {
        reason: args.reason.clone(),
        wait: revoke::how(args),
        timeout_ms: revoke::first_wait(args),
        ..CredentialPatch::default()
    }
}

fn patch(args: &CredentialUpdateArgs) -> Result<CredentialPatch, jeton_types::Invalid> {
    let scopes = ScopeSet::new(args.scopes.clone())?;
    let labels = Labels::new(args.labels.clone())?;
    Ok(CredentialPatch {
        subject: (args.no_subject || args.subject.is_some()).then(|| args.subject.clone()),
        scopes: (args.no_scopes || !scopes.is_empty()).then_some(scopes),
        labels: (args.no_labels || !labels.is_empty()).then_some(labels),
        ttl: (args.no_ttl || args.ttl.is_some()).then_some(args.ttl),
        expires_at: args.expires_at.map(|moment| Timestamp(moment.0)),
        ..ending(&args.ending)
    })
}

async fn change(
    connection: &Connection,
    wanted: &CredentialRef,
    patch: CredentialPatch,
    ending: &EndingArgs,
    json: bool,
) -> Outcome {
    let started = Instant::now();
    let client = client(connection)?;
    let found = credential(&client, wanted).await?;
    let view = client.patch(&format!("/v1/credentials/{}", found.id), &patch).await?;
    finish(&client, view, ending, started, json).await
}

async fn delete(args: CredentialEndArgs, json: bool) -> Outcome {
    let started = Instant::now();
    let client = client(&args.connection)?;
    let found = credential(&client, &args.credential).await?;
    let reason = args.ending.reason.as_ref().map(|reason| format!("?reason={}", encode(reason.as_str())));
    let view = client.delete(&format!("/v1/credentials/{}{}", found.id, reason.unwrap_or_default())).await?;
    finish(&client, view, &args.ending, started, json).await
}

/// Waits for the receipt, if there is one and that was asked for.
async fn finish(
    client: &ApiClient,
    mut view: CredentialChangedView,
    ending: &EndingArgs,
    started: Instant,
    json: bool,
) -> Outcome {
    let mut exit = Exit::Done;
    if let Some(revocation) = view.revocation.take() {
        let (settled, settled_exit) = revoke::settle(client, revocation, ending, started).await?;
        exit = settled_exit;
        view.revocation = Some(settled);
    }
    if json {
        output::document(&view)?;
        return Ok(exit);
    }
    let credential = &view.credential;
    output::line(&format!(
        "{}/{} is {} at revision {}",
        credential.namespace, credential.name, credential.state, view.revision
    ))?;
    if let Some(revocation) = &view.revocation {
        revoke::print(revocation)?;
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_query() {
        assert_eq!(encode("team=core & more/ü"), "team%3Dcore%20%26%20more%2F%C3%BC");
    }
}
