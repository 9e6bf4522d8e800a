//! `jeton revoke`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jeton_api::{
    revocation::{LineState, RevocationView, RevokeRequest, SelectorRequest, VerifierLine, Wait},
    secret::SecretText,
    time::Timestamp,
    token::TokenView,
};
use jeton_client::http::ApiClient;
use jeton_types::{NamespaceName, SessionId, VerifierName};

use super::{client, credential, namespace_of_prefix, read_secret};
use crate::{
    args::RevokeArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

/// How long the first answer may wait for the receipt: a healthy fleet has acknowledged long before.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How often a pending receipt is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub async fn run(args: RevokeArgs, json: bool) -> Outcome {
    let started = Instant::now();
    let client = client(&args.connection)?;
    let (namespace, selector) = selector(&client, &args).await?;
    let timeout = args.timeout.duration();
    let first_wait = FIRST_WAIT.min(timeout);
    let request = RevokeRequest {
        selector,
        reason: args.reason,
        wait: if args.wait { Wait::Complete } else { Wait::Committed },
        timeout_ms: u64::try_from(first_wait.as_millis()).ok().and_then(|millis| millis.try_into().ok()),
    };
    let mut view: RevocationView = client.post(&format!("/v1/namespaces/{namespace}/revocations"), &request).await?;
    if args.wait {
        view = wait(&client, view, started, timeout).await?;
    }
    if json {
        output::document(&view)?;
    } else {
        print(&view)?;
    }
    Ok(if args.wait && !view.receipt.is_complete() { Exit::Refused } else { Exit::Done })
}

/// What is to end, and in which namespace.
async fn selector(client: &ApiClient, args: &RevokeArgs) -> Result<(NamespaceName, SelectorRequest), Failure> {
    let (found, selector) = match (&args.credential, &args.token_id, &args.secret_file) {
        (Some(wanted), None, None) => {
            let view = credential(client, wanted).await?;
            (view.namespace, SelectorRequest::Credential(jeton_types::CredentialRef::Id(view.id)))
        }
        (None, Some(token), None) => {
            let view: TokenView = client.get(&format!("/v1/tokens/{token}")).await?;
            (view.namespace, SelectorRequest::TokenId(*token))
        }
        (None, None, Some(file)) => {
            let secret = read_secret(file)?;
            let prefix = jeton_types::token::parse(secret.expose().as_bytes())
                .map_err(|malformed| {
                    Failure::new(Exit::Refused, format!("nothing matched: {}: {malformed}", file.display()))
                })?
                .prefix
                .to_owned();
            (namespace_of_prefix(client, &prefix).await?, SelectorRequest::Secret(SecretText(secret)))
        }
        _ => return Err(Failure::usage("name exactly one of CREDENTIAL, --token-id and --secret-file")),
    };
    match &args.namespace {
        Some(namespace) if *namespace != found => Err(Failure::new(
            Exit::Refused,
            format!("nothing matched: what you named is in {found}, not in {namespace}; nothing was revoked"),
        )),
        _ => Ok((found, selector)),
    }
}

/// Shows each verifier as it acknowledges, until the receipt is complete or the time is over.
async fn wait(
    client: &ApiClient,
    mut view: RevocationView,
    started: Instant,
    timeout: Duration,
) -> Result<RevocationView, Failure> {
    let mut told = Told::new();
    let mut beat = tokio::time::interval(LOOK_EVERY);
    loop {
        tell(&view, &mut told);
        if view.receipt.is_complete() || started.elapsed() >= timeout {
            return Ok(view);
        }
        beat.tick().await;
        let id = view.id;
        view = client.get(&format!("/v1/revocations/{id}")).await.map_err(|error| {
            let failure = Failure::from(error);
            let message = format!("{failure}; the revocation is committed, ask later with `jeton receipt {id}`");
            Failure { message, ..failure }
        })?;
    }
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

fn print(view: &RevocationView) -> Result<(), Failure> {
    let tokens = if view.count == 1 { "1 token".to_owned() } else { format!("{} tokens", view.count) };
    output::line(&format!("revoked {tokens} of {} at revision {}: {}", view.namespace, view.revision, view.id))?;
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
    output::line(&format!("complete{at}: no verification that starts later accepts it, anywhere"))
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
