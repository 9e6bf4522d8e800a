//! `jeton namespace`.

use std::time::Instant;

use jeton_api::namespace::{NamespaceChangedView, NamespaceCreateRequest, NamespacePatch, NamespaceView};
use jeton_types::{Freshness, NamespaceName, Revision, Span};

use super::{changed_from, client, revoke};
use crate::{
    args::{Connection, EndingArgs, NamespaceCommand, NamespaceCreateArgs, NamespaceEndArgs, NamespaceUpdateArgs},
    exit::{Exit, Failure, Outcome},
    output,
};

pub async fn run(command: NamespaceCommand, json: bool) -> Outcome {
    match command {
        NamespaceCommand::Create(args) => create(args, json).await,
        NamespaceCommand::List(connection) => {
            let all = client(&connection)?.namespaces().all().await?;
            if json {
                output::document(&all)?;
            } else {
                let rows: Vec<[String; 5]> = all
                    .iter()
                    .map(|view| {
                        [
                            view.name.to_string(),
                            view.prefix.to_string(),
                            view.freshness.to_string(),
                            bound(view),
                            output::or_dash(view.default_ttl.as_ref()),
                        ]
                    })
                    .collect();
                output::table(["NAMESPACE", "PREFIX", "FRESHNESS", "REVOKED WITHIN", "DEFAULT TTL"], &rows)?;
            }
            Ok(Exit::Done)
        }
        NamespaceCommand::Show { namespace, connection } => {
            let view = client(&connection)?.namespace(&namespace).await?;
            if json {
                output::document(&view)?
            } else {
                print(&view)?
            }
            Ok(Exit::Done)
        }
        NamespaceCommand::Update(args) => update(args, json).await,
        NamespaceCommand::Disable(args) => switch(args, true, json).await,
        NamespaceCommand::Enable(args) => switch(args, false, json).await,
    }
}

async fn switch(args: NamespaceEndArgs, disabled: bool, json: bool) -> Outcome {
    let patch = NamespacePatch { disabled: Some(disabled), ..ending(&args.ending) };
    let (view, exit) = change(&args.namespace, patch, (args.if_match, &args.ending), &args.connection).await?;
    if json {
        output::document(&view)?;
        return Ok(exit);
    }
    match &view.revocation {
        Some(revocation) => revoke::print(revocation)?,
        None => output::line(&format!("{} is enabled at revision {}", args.namespace, view.revision))?,
    }
    Ok(exit)
}

async fn update(args: NamespaceUpdateArgs, json: bool) -> Outcome {
    let patch = NamespacePatch {
        freshness: args.freshness,
        default_ttl: (args.no_default_ttl || args.default_ttl.is_some()).then_some(args.default_ttl),
        ..ending(&args.ending)
    };
    let (view, exit) = change(&args.namespace, patch, (args.if_match, &args.ending), &args.connection).await?;
    if json {
        output::document(&view)?;
        return Ok(exit);
    }
    if let Some(revocation) = &view.revocation {
        revoke::print(revocation)?;
    }
    print(&view.namespace)?;
    Ok(exit)
}

/// What a change says beside what it changes.
fn ending(args: &EndingArgs) -> NamespacePatch {
    NamespacePatch {
        reason: args.reason.clone(),
        wait: revoke::how(args),
        timeout_ms: revoke::first_wait(args),
        ..NamespacePatch::default()
    }
}

async fn change(
    namespace: &NamespaceName,
    patch: NamespacePatch,
    (if_match, ending): (Option<Revision>, &EndingArgs),
    connection: &Connection,
) -> Result<(NamespaceChangedView, Exit), Failure> {
    let started = Instant::now();
    let client = client(connection)?;
    let mut view = changed_from(client.namespace_update(namespace, &patch), if_match).await?;
    let mut exit = Exit::Done;
    if let Some(revocation) = view.revocation.take() {
        let (settled, settled_exit) = revoke::settle(&client, revocation, ending, started).await?;
        exit = settled_exit;
        view.revocation = Some(settled);
    }
    Ok((view, exit))
}

async fn create(args: NamespaceCreateArgs, json: bool) -> Outcome {
    let request = NamespaceCreateRequest {
        name: args.namespace,
        prefix: args.prefix,
        freshness: Some(args.freshness),
        default_ttl: args.default_ttl,
    };
    let view = client(&args.connection)?.namespace_create(&request).await?;
    if json {
        output::document(&view)?;
    } else {
        output::line(&format!("created {}: its tokens begin with {}_", view.name, view.prefix))?;
        output::line(&meaning(&view))?;
    }
    Ok(Exit::Done)
}

fn print(view: &NamespaceView) -> Result<(), Failure> {
    output::line(&format!("namespace    {}", view.name))?;
    output::line(&format!("prefix       {}", view.prefix))?;
    output::line(&format!("freshness    {}", view.freshness))?;
    output::line(&format!("default ttl  {}", output::or_dash(view.default_ttl.as_ref())))?;
    output::line(&format!("created      {}", view.created_at))?;
    output::line(&format!("revision     {}", view.revision))?;
    if let Some(since) = view.disabled_at {
        output::line(&format!("disabled     {since}: no token of it is good"))?;
    }
    output::line(&meaning(view))
}

fn bound(view: &NamespaceView) -> String {
    Span::from_millis(view.revocation_bound_ms).to_string()
}

/// What the chosen freshness means, before it is needed.
fn meaning(view: &NamespaceView) -> String {
    let bound = bound(view);
    match view.freshness {
        Freshness::Strict => format!(
            "strict: a verifier that loses the authority answers 503 once its lease of 5s is over; \
             a revoked token is accepted nowhere later than {bound} after its revocation, whatever the network does"
        ),
        Freshness::Grace(_) => format!(
            "{}: a verifier that loses the authority goes on with what it knows for that long, then answers 503; a revocation takes \
             one round trip, and where a verifier is cut off at most {bound}",
            view.freshness
        ),
    }
}
