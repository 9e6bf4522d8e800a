//! `GET /v1/events`: what happens in the namespaces that the caller may read, as server-sent events.
//!
//! Guarantee: a client that comes back with the id of the last `change` it has seen misses none of them, or is refused with
//! `log_cut` because the log does not reach back so far. The others
//! (`receipt`, `session`, `alarm`) are told while one listens; what they say can be read from the API at any time.
//! The caller's token is looked at again before anything is told, so a stream ends with its token. Whoever does not take
//! what there is for him is cut; nothing waits for him but his own queue.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse as _, Response, Sse, sse::Event as Told},
};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jeton_api::{
    event::{ChangeEvent, ChangeKind, ChangeView},
    problem::Code,
};
use jeton_feed::record::{Change, Record};
use jeton_host::serve::Permit;
use jeton_lifecycle::Action;
use jeton_store::{Store, StoreError};
use jeton_types::Revision;
use serde::Serialize;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;

use super::failure::Failure;
use crate::{access::Access, core::Core, event::Event};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Events that wait for one client.
const QUEUE_MAX: usize = 256;
/// How long a full queue may stay full.
const STALL_MAX: Duration = Duration::from_secs(10);
/// How often something is said, and the token looked at, where there is nothing to say.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Records read at once.
const RECORDS_MAX: usize = 100;

pub(crate) async fn stream(
    State(core): State<Core>,
    access: Access,
    permit: Option<Extension<Permit>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    access.permit_somewhere(Action::CredentialRead)?;
    let head = core.store.commit_log().head().revision;
    let after = match last_seen(&headers)? {
        Some(revision) if revision > head => {
            return Err(Failure::new(Code::InvalidRequest, "`last-event-id` is a revision that is not there yet"));
        }
        // What the log does not have any more is said before anything is told.
        Some(revision) => {
            let _ = records(&core, revision, 1).await?;
            revision
        }
        None => head,
    };
    let place = core
        .events
        .enter()
        .ok_or_else(|| Failure::new(Code::TooMany, "too many clients read the events now: try again later"))?;
    if let Some(Extension(permit)) = permit {
        // Who listens must not keep out who works.
        permit.release();
    }
    let (queue, told) = mpsc::channel(QUEUE_MAX);
    tokio::spawn(async move {
        core.metrics.event_client_count(true);
        let end = tell(&core, access, after, &queue).await;
        core.metrics.event_client_count(false);
        if matches!(end, End::Slow) {
            core.metrics.event_client_cut_count();
        }
        tracing::debug!(?end, "a client of the events is gone");
        drop(place);
    });
    let mut response = Sse::new(ReceiverStream::new(told).map(Ok::<Told, Infallible>)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The last change that the client has seen.
fn last_seen(headers: &HeaderMap) -> Result<Option<Revision>, Failure> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let revision = value.to_str().ok().and_then(|text| text.parse().ok()).and_then(Revision::new);
    let form = || Failure::new(Code::InvalidRequest, "`last-event-id` is the id of a `change`: its revision");
    revision.map(Some).ok_or_else(form)
}

/// Why a stream ends.
#[derive(Debug)]
enum End {
    Gone,
    Slow,
    /// The token is not good any more, or nobody can say.
    Refused,
    Unreadable,
    Stopping,
    NotJson,
}

enum Wake {
    Changed,
    Told(Arc<Event>),
    Tick,
}

async fn tell(core: &Core, mut access: Access, mut after: Revision, queue: &mpsc::Sender<Told>) -> End {
    let mut changed = core.store.commit_log().changed();
    let mut heard = core.events.listen();
    let mut ticks = interval(KEEP_ALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // What comes from here on wakes us again.
        changed.borrow_and_update();
        loop {
            // One that is so slow that the log was cut above what it has read comes back, and is told so.
            let Ok(records) = records(core, after, RECORDS_MAX).await else { return End::Unreadable };
            let Some(last) = records.last() else { break };
            after = last.revision;
            let mine = records.iter().filter(|record| access.may(Action::CredentialRead, &record.namespace));
            let told: Result<Vec<Told>, _> = mine.map(|record| change(record)).collect();
            let Ok(told) = told else { return End::NotJson };
            // No receipt must wait for a client that takes its time.
            access.pause();
            if let Err(end) = send(queue, told).await {
                return end;
            }
            access = match access.again(core).await {
                Ok(access) => access,
                Err(_) => return End::Refused,
            };
        }
        access.pause();
        let wake = tokio::select! {
            biased;
            () = queue.closed() => return End::Gone,
            () = core.stopping() => return End::Stopping,
            changed = changed.changed() => match changed {
                Ok(()) => Wake::Changed,
                Err(_) => return End::Stopping,
            },
            heard = heard.recv() => match heard {
                Ok(event) => Wake::Told(event),
                Err(RecvError::Lagged(_)) => return End::Slow,
                Err(RecvError::Closed) => return End::Stopping,
            },
            _ = ticks.tick() => Wake::Tick,
        };
        access = match access.again(core).await {
            Ok(access) => access,
            Err(_) => return End::Refused,
        };
        let told = match &wake {
            Wake::Changed => continue,
            Wake::Told(event) => other(&access, event),
            Wake::Tick => Ok(Some(Told::default().comment("still here"))),
        };
        let Ok(told) = told else { return End::NotJson };
        access.pause();
        if let Err(end) = send(queue, told).await {
            return end;
        }
        access = match access.again(core).await {
            Ok(access) => access,
            Err(_) => return End::Refused,
        };
    }
}

/// Puts into the queue what there is; gives up on a client that takes nothing.
async fn send(queue: &mpsc::Sender<Told>, events: impl IntoIterator<Item = Told>) -> Result<(), End> {
    for event in events {
        match queue.send_timeout(event, STALL_MAX).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(End::Slow),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(End::Gone),
        }
    }
    Ok(())
}

async fn records(core: &Core, after: Revision, limit: usize) -> Result<Vec<Arc<Record>>, StoreError> {
    let log = core.store.commit_log();
    match log.after(after, limit) {
        Some(records) => Ok(records),
        None => {
            let records = core.store.records(after, log.head().revision, limit).await?;
            Ok(records.into_iter().map(Arc::new).collect())
        }
    }
}

fn change(record: &Record) -> Result<Told, serde_json::Error> {
    let view = ChangeEvent {
        revision: record.revision,
        namespace: record.namespace.clone(),
        committed_at: record.committed_at.into(),
        changes: record.changes.iter().map(change_view).collect(),
    };
    Ok(told("change", &view)?.id(record.revision.to_string()))
}

fn change_view(change: &Change) -> ChangeView {
    let empty = ChangeView { kind: ChangeKind::Other, token_id: None, credential_id: None, expires_at: None };
    match change {
        Change::Policy(_) => ChangeView { kind: ChangeKind::Policy, ..empty },
        Change::Token(entry) => ChangeView {
            kind: ChangeKind::Token,
            token_id: Some(entry.token),
            credential_id: Some(entry.credential),
            expires_at: entry.expires_at.map(Into::into),
        },
        Change::Deadline { token, expires_at, .. } => ChangeView {
            kind: ChangeKind::Deadline,
            token_id: Some(*token),
            expires_at: Some((*expires_at).into()),
            ..empty
        },
        Change::End { token, .. } => ChangeView { kind: ChangeKind::End, token_id: Some(*token), ..empty },
        Change::Collected { token, .. } => ChangeView { kind: ChangeKind::Collected, token_id: Some(*token), ..empty },
        Change::Start(_) => ChangeView { kind: ChangeKind::Start, ..empty },
        Change::Unknown { .. } => empty,
    }
}

/// What the caller may know of an event that is not a change.
fn other(access: &Access, event: &Event) -> Result<Option<Told>, serde_json::Error> {
    match event {
        Event::Receipt(view) if access.may(Action::RevocationRead, &view.namespace) => told("receipt", view).map(Some),
        Event::Session(view) => {
            let mut view = view.clone();
            view.namespaces.retain(|namespace| access.may(Action::VerifierRead, namespace));
            if view.namespaces.is_empty() { Ok(None) } else { told("session", &view).map(Some) }
        }
        Event::Alarm(view) if access.permit(Action::MetricsRead, None).is_ok() => told("alarm", view).map(Some),
        Event::Receipt(_) | Event::Alarm(_) => Ok(None),
    }
}

fn told<T: Serialize>(name: &str, view: &T) -> Result<Told, serde_json::Error> {
    // A text field cannot hold a line's end: JSON writes it as \n.
    Ok(Told::default().event(name).data(serde_json::to_string(view)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up() {
        let (queue, mut told) = mpsc::channel(2);
        let three = || std::iter::repeat_n(Told::default(), 3);
        assert!(matches!(send(&queue, three()).await, Err(End::Slow)));
        assert!(told.recv().await.is_some() && told.recv().await.is_some(), "what was in the queue is still taken");
        assert!(send(&queue, [Told::default()]).await.is_ok());
        drop(told);
        assert!(matches!(send(&queue, three()).await, Err(End::Gone)));
    }

    #[test]
    fn where_to_go_on() {
        let check = |value: &'static str, expect: Option<Option<u64>>| {
            let headers = HeaderMap::from_iter([(LAST_EVENT_ID, HeaderValue::from_static(value))]);
            let found = last_seen(&headers).ok().map(|seen| seen.map(Revision::get));
            assert_eq!(found, expect, "{value}");
        };
        check("7", Some(Some(7)));
        for bad in ["", "x", "-1", "9007199254740992", "7, 8"] {
            check(bad, None);
        }
        assert!(matches!(last_seen(&HeaderMap::new()), Ok(None)));
    }
}
