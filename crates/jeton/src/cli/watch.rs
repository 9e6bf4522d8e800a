//! `jeton watch`.

use std::time::Duration;

use jeton_api::event::{AlarmEvent, ChangeEvent, ChangeView, ReceiptEvent, SessionEvent};
use jeton_client::http::{CallError, EventStream, ServerEvent};
use jeton_types::{NamespaceName, Revision};
use serde::de::DeserializeOwned;

use super::client;
use crate::{
    args::WatchArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

/// How long to wait before an authority that is away is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Prints what happens until it is interrupted. A stream that breaks is opened again after the last change that was
/// printed, so that no change is missed.
pub async fn run(args: WatchArgs, json: bool) -> Outcome {
    let client = client(&args.connection)?;
    let mut last = args
        .after
        .map(|after| Revision::new(after).ok_or_else(|| Failure::usage("--after is a revision")))
        .transpose()?;
    let mut left = args.count;
    let mut came = false;
    loop {
        let end = match client.events(last).await {
            Ok(mut events) => {
                came = true;
                match follow(&mut events, &args, json, &mut last, &mut left).await? {
                    None => return Ok(Exit::Done),
                    Some(end) => end,
                }
            }
            // The first time there is nothing to come back to.
            Err(CallError::Unreachable(why)) if came => why,
            Err(error) => return Err(error.into()),
        };
        output::note(&format!("{end}; trying again"));
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// Prints the events of one stream; says why it ended, or nothing once enough were printed.
async fn follow(
    events: &mut EventStream,
    args: &WatchArgs,
    json: bool,
    last: &mut Option<Revision>,
    left: &mut Option<u64>,
) -> Result<Option<String>, Failure> {
    loop {
        let event = match events.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Some("the authority has ended the stream".to_owned())),
            Err(CallError::Unreachable(why)) => return Ok(Some(why)),
            Err(error) => return Err(error.into()),
        };
        if event.id.is_some() {
            *last = event.id;
        }
        if !wanted(&event, args.namespace.as_ref())? {
            continue;
        }
        if json {
            output::line(&format!("{{\"event\":\"{}\",\"data\":{}}}", event.name, event.data))?;
        } else {
            output::line(&describe(&event)?)?;
        }
        if let Some(left) = left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Ok(None);
            }
        }
    }
}

fn wanted(event: &ServerEvent, namespace: Option<&NamespaceName>) -> Result<bool, Failure> {
    let Some(namespace) = namespace else { return Ok(true) };
    Ok(match event.name.as_str() {
        "change" => read::<ChangeEvent>(event)?.namespace == *namespace,
        "receipt" => read::<ReceiptEvent>(event)?.namespace == *namespace,
        "session" => read::<SessionEvent>(event)?.namespaces.contains(namespace),
        // An alarm is everybody's.
        _ => true,
    })
}

fn describe(event: &ServerEvent) -> Result<String, Failure> {
    Ok(match event.name.as_str() {
        "change" => {
            let change: ChangeEvent = read(event)?;
            let one = |view: &ChangeView| {
                let of = view.token_id.map(|token| format!(" {token}")).unwrap_or_default();
                format!("{}{of}", view.kind.as_str())
            };
            let what: Vec<String> = change.changes.iter().map(one).collect();
            format!("{} change {} {}: {}", change.committed_at, change.namespace, change.revision, what.join(", "))
        }
        "receipt" => {
            let receipt: ReceiptEvent = read(event)?;
            format!("{} receipt {} {}: complete", receipt.completed_at, receipt.namespace, receipt.revocation_id)
        }
        "session" => {
            let session: SessionEvent = read(event)?;
            format!("{} session {} {}: {}", session.at, session.verifier, session.session, session.state)
        }
        "alarm" => {
            let alarm: AlarmEvent = read(event)?;
            format!("{} alarm {}: {}", alarm.at, alarm.kind, alarm.message)
        }
        other => format!("{other} {}", event.data),
    })
}

fn read<T: DeserializeOwned>(event: &ServerEvent) -> Result<T, Failure> {
    serde_json::from_str(&event.data)
        .map_err(|error| Failure::internal(format!("an event {} that makes no sense: {error}", event.name)))
}
