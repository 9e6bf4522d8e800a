//! `jeton credential`.

use std::time::Instant;

use jeton_api::{
    credential::{Constraints, CredentialChangedView, CredentialDeleteQuery, CredentialPatch, CredentialQuery},
    time::Timestamp,
};
use jeton_client::Client;
use jeton_types::{AddressList, CredentialRef, Labels, Revision, ScopeSet};

use super::{changed_from, client, revoke, token};
use crate::{
    args::{Connection, CredentialCommand, CredentialEndArgs, CredentialListArgs, CredentialUpdateArgs, EndingArgs},
    exit::{Exit, Failure, Outcome},
    output,
};

pub async fn run(command: CredentialCommand, json: bool) -> Outcome {
    match command {
        CredentialCommand::List(args) => {
            let all = client(&args.connection)?.credentials(&args.namespace, &query(&args)?).all().await?;
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
            let view = client.credential(&wanted).await?;
            let tokens = client.tokens(view.id).all().await?;
            if json {
                output::document(&serde_json::json!({ "credential": view, "tokens": tokens }))?;
            } else {
                output::line(&format!("credential  {}/{}", view.namespace, view.name))?;
                output::line(&format!("id          {}", view.id))?;
                output::line(&format!("state       {}", view.state))?;
                output::line(&format!("subject     {}", output::or_dash(view.subject.as_ref())))?;
                output::line(&format!("scopes      {}", view.scopes))?;
                output::line(&format!("ttl         {}", output::or_dash(view.ttl.as_ref())))?;
                if !view.constraints.is_empty() {
                    output::line(&format!("addresses   {}", view.constraints.addresses))?;
                }
                output::line(&format!("created     {}", view.created_at))?;
                output::line(&format!("revision    {}", view.revision))?;
                token::print(&tokens)?;
            }
        }
        CredentialCommand::Update(args) => {
            let patch = patch(&args).map_err(Failure::usage)?;
            return change(&args.connection, &args.credential, patch, (args.if_match, &args.ending), json).await;
        }
        CredentialCommand::Disable(args) => {
            let patch = CredentialPatch { disabled: Some(true), ..ending(&args.ending) };
            return change(&args.connection, &args.credential, patch, (args.if_match, &args.ending), json).await;
        }
        CredentialCommand::Enable(args) => {
            let patch = CredentialPatch { disabled: Some(false), ..ending(&args.ending) };
            return change(&args.connection, &args.credential, patch, (args.if_match, &args.ending), json).await;
        }
        CredentialCommand::Delete(args) => return delete(args, json).await,
    }
    Ok(Exit::Done)
}

fn query(args: &CredentialListArgs) -> Result<CredentialQuery, Failure> {
    Ok(CredentialQuery {
        subject: args.subject.clone(),
        labels: Labels::new(args.labels.clone()).map_err(Failure::usage)?,
        state: args.state,
        ..CredentialQuery::default()
    })
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
    let addresses = AddressList::new(args.addresses.iter().copied())?;
    Ok(CredentialPatch {
        subject: (args.no_subject || args.subject.is_some()).then(|| args.subject.clone()),
        scopes: (args.no_scopes || !scopes.is_empty()).then_some(scopes),
        labels: (args.no_labels || !labels.is_empty()).then_some(labels),
        ttl: (args.no_ttl || args.ttl.is_some()).then_some(args.ttl),
        constraints: (args.no_addresses || !addresses.is_anywhere()).then_some(Constraints { addresses }),
        expires_at: args.expires_at.map(|moment| Timestamp(moment.0)),
        ..ending(&args.ending)
    })
}

async fn change(
    connection: &Connection,
    wanted: &CredentialRef,
    patch: CredentialPatch,
    (if_match, ending): (Option<Revision>, &EndingArgs),
    json: bool,
) -> Outcome {
    let started = Instant::now();
    let client = client(connection)?;
    let found = client.credential(wanted).await?;
    let view = changed_from(client.credential_update(found.id, &patch), if_match).await?;
    finish(&client, view, ending, started, json).await
}

async fn delete(args: CredentialEndArgs, json: bool) -> Outcome {
    let started = Instant::now();
    let client = client(&args.connection)?;
    let found = client.credential(&args.credential).await?;
    let query = CredentialDeleteQuery {
        reason: args.ending.reason.clone(),
        wait: revoke::how(&args.ending),
        timeout_ms: revoke::first_wait(&args.ending),
    };
    let view = changed_from(client.credential_delete(found.id, &query), args.if_match).await?;
    finish(&client, view, &args.ending, started, json).await
}

/// Waits for the receipt, if there is one and that was asked for.
async fn finish(
    client: &Client,
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
