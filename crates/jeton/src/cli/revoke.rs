//! `jeton revoke`.

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use jeton_api::{
    revocation::{
        Effect, LineState, RevocationView, RevokePreviewView, RevokeRequest, SelectorRequest, TimeoutMs, VerifierLine,
        Wait,
    },
    secret::SecretText,
    time::Timestamp,
};
use jeton_client::Client;
use jeton_types::{Labels, NamespaceName, SessionId, VerifierName};

use super::{client, namespace_of_prefix, read_secret};
use crate::{
    args::{EndingArgs, RevokeArgs},
    exit::{Exit, Failure, Outcome},
    output,
};

/// So many tokens are ended without a question.
const UNASKED_MAX: u64 = 100;

pub async fn run(args: RevokeArgs, json: bool) -> Outcome {
    let started = Instant::now();
    let client = client(&args.connection)?;
    let (namespace, selector) = selector(&client, &args).await?;
    let named = selector.credential.is_some() || selector.token_id.is_some() || selector.secret.is_some();
    let request = RevokeRequest {
        selector,
        reason: args.ending.reason.clone(),
        wait: how(&args.ending),
        timeout_ms: first_wait(&args.ending),
        dry_run: false,
    };
    if args.dry_run || (!named && !args.yes) {
        let preview = client.revoke_preview(&namespace, &request).await?;
        if args.dry_run {
            return show(&preview, &namespace, json);
        }
        if preview.count > UNASKED_MAX {
            confirm(&preview, &namespace)?;
        }
    }
    let view = client.revoke(&namespace, &request).await?;
    let (view, exit) = settle(&client, view, &args.ending, started).await?;
    if json {
        output::document(&view)?;
    } else {
        print(&view)?;
    }
    Ok(exit)
}

/// What to wait for before the first answer.
pub fn how(ending: &EndingArgs) -> Wait {
    if ending.wait { Wait::Complete } else { Wait::Committed }
}

/// For how long.
pub fn first_wait(ending: &EndingArgs) -> Option<TimeoutMs> {
    Client::first_wait(ending.timeout.duration())
}

/// Waits for the receipt, if that was asked for, and says how it went.
pub async fn settle(
    client: &Client,
    view: RevocationView,
    ending: &EndingArgs,
    started: Instant,
) -> Result<(RevocationView, Exit), Failure> {
    if !ending.wait {
        return Ok((view, Exit::Done));
    }
    let view = wait(client, view, started, ending.timeout.duration()).await?;
    let exit = if view.receipt.is_complete() { Exit::Done } else { Exit::Refused };
    Ok((view, exit))
}

fn show(preview: &RevokePreviewView, namespace: &NamespaceName, json: bool) -> Outcome {
    if json {
        output::document(preview)?;
        return Ok(Exit::Done);
    }
    output::line(&format!("would revoke {} of {namespace}; nothing was revoked", tokens(preview.count)))?;
    for token in &preview.tokens {
        output::line(&token.to_string())?;
    }
    if preview.tokens_omitted > 0 {
        output::line(&format!("and {} more", preview.tokens_omitted))?;
    }
    Ok(Exit::Done)
}

/// Asks a person; where there is none, refuses.
fn confirm(preview: &RevokePreviewView, namespace: &NamespaceName) -> Result<(), Failure> {
    let what = format!("this ends {} of {namespace}, for good", tokens(preview.count));
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "{what}; nothing was revoked: say --yes to do it without being asked, --dry-run to see which"
        )));
    }
    output::note(&format!("{what}. Type `yes` to go on:"));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| Failure::usage(format!("standard input: {error}")))?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new(Exit::Refused, "nothing was revoked".to_owned())) }
}

fn tokens(count: u64) -> String {
    if count == 1 { "1 token".to_owned() } else { format!("{count} tokens") }
}

/// What is to end, and in which namespace.
async fn selector(client: &Client, args: &RevokeArgs) -> Result<(NamespaceName, SelectorRequest), Failure> {
    let mut selector = SelectorRequest {
        token_id: args.token_id,
        subject: args.subject.clone(),
        labels: Labels::new(args.labels.clone()).map_err(Failure::usage)?,
        issued_before: args.issued_before.map(|moment| Timestamp(moment.0)),
        ..SelectorRequest::default()
    };
    let mut found = Vec::new();
    if let Some(wanted) = &args.credential {
        let view = client.credential(wanted).await?;
        selector.credential = Some(jeton_types::CredentialRef::Id(view.id));
        found.push(view.namespace);
    }
    if let Some(token) = args.token_id {
        let view = client.token(token).await?;
        found.push(view.namespace);
    }
    if let Some(file) = &args.secret_file {
        let secret = read_secret(file)?;
        let prefix = jeton_types::token::parse(secret.expose().as_bytes())
            .map_err(|malformed| {
                Failure::new(Exit::Refused, format!("nothing matched: {}: {malformed}", file.display()))
            })?
            .prefix
            .to_owned();
        found.push(namespace_of_prefix(client, &prefix).await?);
        selector.secret = Some(SecretText(secret));
    }
    let namespace = args.namespace.clone().or_else(|| found.first().cloned()).ok_or_else(|| {
        Failure::usage("--subject, --label and --issued-before select within one namespace: add --namespace NS")
    })?;
    match found.into_iter().find(|found| *found != namespace) {
        Some(elsewhere) => Err(Failure::new(
            Exit::Refused,
            format!("nothing matched: what you named is in {elsewhere}, not in {namespace}; nothing was revoked"),
        )),
        None => Ok((namespace, selector)),
    }
}

/// Shows each verifier as it acknowledges, until the receipt is complete or the time is over.
async fn wait(
    client: &Client,
    view: RevocationView,
    started: Instant,
    timeout: Duration,
) -> Result<RevocationView, Failure> {
    let (id, left) = (view.id, timeout.saturating_sub(started.elapsed()));
    let mut told = Told::new();
    client.receipt_wait(view, left, |view| tell(view, &mut told)).await.map_err(|error| {
        let failure = Failure::from(error);
        let message = format!("{failure}; the revocation is committed, ask later with `jeton receipt {id}`");
        Failure { message, ..failure }
    })
}

/// What was said of a line: its state, and whether it is known to be silent.
type Told = BTreeMap<(VerifierName, Option<SessionId>), (LineState, bool)>;

fn tell(view: &RevocationView, told: &mut Told) {
    for line in &view.receipt.verifiers {
        let said = (line.state, line.silent_since.is_some());
        if told.insert((line.id.clone(), line.session), said) != Some(said) {
            output::note(&describe(line));
        }
    }
}

/// One verifier, for a person.
pub fn describe(line: &VerifierLine) -> String {
    let name = &line.id;
    match line.state {
        LineState::Pending => match (line.silent_since, line.stops_by) {
            (Some(since), Some(until)) => {
                format!("{name} silent since {}, cannot accept after {}", clock(since), clock(until))
            }
            (None, Some(until)) => format!("{name} has not acknowledged yet, cannot accept after {}", clock(until)),
            _ => format!("{name} has not acknowledged yet"),
        },
        LineState::Fenced => match line.silent_since {
            Some(since) => {
                format!("{name} fenced{}: silent since {}, its lease is over", moment(line.at), clock(since))
            }
            None => format!("{name} fenced{}", moment(line.at)),
        },
        state => format!("{name} {state}{}", moment(line.at)),
    }
}

/// What ended, and who knows.
pub fn print(view: &RevocationView) -> Result<(), Failure> {
    let done = match view.effect {
        Effect::Revoke => format!("revoked {}", tokens(view.count)),
        Effect::Delete => format!("deleted, with {}", tokens(view.count)),
        Effect::Disable if view.count == 0 => "disabled all tokens".to_owned(),
        Effect::Disable => format!("disabled {}", tokens(view.count)),
        Effect::Narrow => format!("narrowed {}", tokens(view.count)),
        Effect::Tighten => "shortened the grace".to_owned(),
        Effect::Expire => format!("brought forward the expiry of {}", tokens(view.count)),
    };
    output::line(&format!("{done} of {} at revision {}: {}", view.namespace, view.revision, view.id))?;
    let receipt = &view.receipt;
    if !receipt.is_complete() {
        let until =
            receipt.stops_by().map_or_else(String::new, |until| format!(", complete by {} in any case", clock(until)));
        return output::line(&format!("pending: waiting for {}{until}", waiting(view)));
    }
    if receipt.no_verifier() {
        return output::line(&format!("complete: no verifier serves {}", view.namespace));
    }
    let at = receipt.completed_at.map_or_else(String::new, |at| format!(" at {at}"));
    let what = match view.effect {
        Effect::Revoke | Effect::Delete | Effect::Disable => "no verification that starts later accepts it, anywhere",
        Effect::Narrow | Effect::Expire | Effect::Tighten => "every verification that starts later knows it, anywhere",
    };
    output::line(&format!("complete{at}: {what}"))
}

fn waiting(view: &RevocationView) -> String {
    let names: Vec<&str> = view.receipt.pending().map(|line| line.id.as_str()).collect();
    if names.is_empty() { "the receipt to be signed".to_owned() } else { names.join(", ") }
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| format!(" {}", clock(at)))
}

/// The time of day in UTC, as it is in `2026-01-02T03:04:05.678901Z`.
fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('T').and_then(|(_, time)| time.get(..8)).map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use jeton_types::UnixTime;

    use super::*;

    #[test]
    fn a_silent_verifier_is_told_with_its_bound() {
        let at = |secs: u64| Some(Timestamp(UnixTime::from_micros(secs * 1_000_000)));
        let line = VerifierLine {
            id: "edge-7".parse().unwrap(),
            session: Some(SessionId::from_bytes([1; 16])),
            state: LineState::Pending,
            at: None,
            silent_since: at(12 * 3_600 + 63),
            stops_by: at(12 * 3_600 + 446),
        };
        assert_eq!(describe(&line), "edge-7 silent since 12:01:03, cannot accept after 12:07:26");
        let acked =
            VerifierLine { state: LineState::Acked, at: at(12 * 3_600), silent_since: None, stops_by: None, ..line };
        assert_eq!(describe(&acked), "edge-7 acked 12:00:00");
    }
}
