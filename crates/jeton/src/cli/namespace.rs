//! `jeton namespace`.

use jeton_api::namespace::{NamespaceCreateRequest, NamespaceView};
use jeton_types::{Freshness, Span};

use super::{client, pages};
use crate::{
    args::{NamespaceCommand, NamespaceCreateArgs},
    exit::{Exit, Outcome},
    output,
};

pub async fn run(command: NamespaceCommand, json: bool) -> Outcome {
    match command {
        NamespaceCommand::Create(args) => create(args, json).await,
        NamespaceCommand::List(connection) => {
            let all: Vec<NamespaceView> = pages(&client(&connection)?, "/v1/namespaces").await?;
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
            let view: NamespaceView = client(&connection)?.get(&format!("/v1/namespaces/{namespace}")).await?;
            if json {
                output::document(&view)?
            } else {
                print(&view)?
            }
            Ok(Exit::Done)
        }
    }
}

async fn create(args: NamespaceCreateArgs, json: bool) -> Outcome {
    let request = NamespaceCreateRequest {
        name: args.namespace,
        prefix: args.prefix,
        freshness: Some(args.freshness),
        default_ttl: args.default_ttl,
    };
    let view: NamespaceView = client(&args.connection)?.post("/v1/namespaces", &request).await?;
    if json {
        output::document(&view)?;
    } else {
        output::line(&format!("created {}: its tokens begin with {}_", view.name, view.prefix))?;
        output::line(&meaning(&view))?;
    }
    Ok(Exit::Done)
}

fn print(view: &NamespaceView) -> Result<(), crate::exit::Failure> {
    output::line(&format!("namespace    {}", view.name))?;
    output::line(&format!("prefix       {}", view.prefix))?;
    output::line(&format!("freshness    {}", view.freshness))?;
    output::line(&format!("default ttl  {}", output::or_dash(view.default_ttl.as_ref())))?;
    output::line(&format!("created      {}", view.created_at))?;
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
