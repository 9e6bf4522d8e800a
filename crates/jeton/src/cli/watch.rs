//! `jeton watch`.

use jeton_api::event::ChangeView;
use jeton_client::{Followed, ServerEvent, Told};
use jeton_types::{NamespaceName, Revision};

use super::client;
use crate::{
    args::WatchArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

/// Prints what happens until it is interrupted. A stream that breaks is opened again after the last change that was
/// printed, so that no change is missed.
pub async fn run(args: WatchArgs, json: bool) -> Outcome {
    let client = client(&args.connection)?;
    let after = args
        .after
        .map(|after| Revision::new(after).ok_or_else(|| Failure::usage("--after is a revision")))
        .transpose()?;
    let mut events = client.follow(after);
    let mut left = args.count;
    loop {
        let event = match events.next().await? {
            Followed::Event(event) => event,
            Followed::Broken(why) => {
                output::note(&format!("{why}; trying again"));
                continue;
            }
        };
        let told = event.read()?;
        if !wanted(&told, args.namespace.as_ref()) {
            continue;
        }
        if json {
            output::line(&format!("{{\"event\":\"{}\",\"data\":{}}}", event.name, event.data))?;
        } else {
            output::line(&describe(&event, &told))?;
        }
        if let Some(left) = &mut left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Ok(Exit::Done);
            }
        }
    }
}

fn wanted(told: &Told, namespace: Option<&NamespaceName>) -> bool {
    let Some(namespace) = namespace else { return true };
    match told {
        Told::Change(change) => change.namespace == *namespace,
        Told::Receipt(receipt) => receipt.namespace == *namespace,
        Told::Session(session) => session.namespaces.contains(namespace),
        // An alarm is everybody's.
        _ => true,
    }
}

fn describe(event: &ServerEvent, told: &Told) -> String {
    match told {
        Told::Change(change) => {
            let one = |view: &ChangeView| {
                let of = view.token_id.map(|token| format!(" {token}")).unwrap_or_default();
                format!("{}{of}", view.kind.as_str())
            };
            let what: Vec<String> = change.changes.iter().map(one).collect();
            format!("{} change {} {}: {}", change.committed_at, change.namespace, change.revision, what.join(", "))
        }
        Told::Receipt(receipt) => {
            format!("{} receipt {} {}: complete", receipt.completed_at, receipt.namespace, receipt.revocation_id)
        }
        Told::Session(session) => {
            format!("{} session {} {}: {}", session.at, session.verifier, session.session, session.state)
        }
        Told::Alarm(alarm) => format!("{} alarm {}: {}", alarm.at, alarm.kind, alarm.message),
        _ => format!("{} {}", event.name, event.data),
    }
}
