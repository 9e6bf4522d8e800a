//! Whether a hello is good (`feed-protocol.md` 6 and 7).

use std::sync::Arc;

use jeton_api::event::SessionEvent;
use jeton_feed::{
    authority::SessionFacts,
    message::{Hello, Refusal, Refused},
    numbers::{FORGET_AFTER, PROTOCOL, PROTOCOL_FED_OLDEST},
    rollback::Judgement,
};
use jeton_lifecycle::{access, access::Action, role, token};
use jeton_store::{
    Store, StoreError,
    model::{SessionRow, TokenRow},
};
use jeton_types::{Digest, NamespaceName, Revision, SessionId, UnixTime};
use tracing::warn;

use super::handle::{HubParts, Shared, facts};
use crate::{
    event::Event,
    fence::{RolledBack, head_judge},
};

/// Sessions of one credential under one name that have not ended, at most. Each blocks receipts until it is counted out, and
/// is kept in memory; a process that is killed and started over and over leaves one each time.
const SESSIONS_OF_NAME_MAX: usize = 1_000;
/// Sessions of one credential that have not ended, at most. One credential may serve a whole fleet.
const SESSIONS_OF_CREDENTIAL_MAX: usize = 10_000;

/// A hello that is good.
pub(super) struct Admitted {
    /// The protocol that both speak.
    pub(super) protocol: u32,
    /// The session.
    pub(super) facts: SessionFacts,
    /// The token that the stream came with.
    pub(super) token: TokenRow,
    /// What the head that it showed means; nothing if it showed none.
    pub(super) judged: Option<Judgement>,
    /// From where the verifier may go on, if what it holds adds up; no earlier than where the session was opened.
    pub(super) resume: Option<Revision>,
}

/// A hello that is not.
#[derive(Debug)]
pub(super) enum Rejected {
    /// The session goes on as it was.
    Refused(Refused),
    /// The session has ended.
    Ended,
}

/// Why a token may not hold a stream.
#[derive(Debug)]
pub(super) enum NotGood {
    /// It is no active token of the built-in namespace.
    Unauthenticated,
    /// It may not be fed one of the namespaces.
    Forbidden(access::Denied),
    /// It is not known.
    Unavailable(StoreError),
}

/// Looks the token up in a view that opens now. The caller holds a guard of the verifications under way.
pub(super) async fn token_look(
    parts: &HubParts,
    digest: Digest,
    namespaces: &[NamespaceName],
) -> Result<TokenRow, NotGood> {
    let found = parts.store.token_by_digest(digest).await.map_err(NotGood::Unavailable)?;
    let (row, credential) = found.ok_or(NotGood::Unauthenticated)?;
    let state = token::state(row.ended.is_some(), row.expires_at, parts.time.now());
    if !row.namespace.is_built_in() || state != token::State::Active || credential.disabled.is_some() {
        return Err(NotGood::Unauthenticated);
    }
    let grants = role::roles_of(&credential.scopes);
    for namespace in namespaces {
        let _ = access::permit(&grants, Action::Feed, Some(namespace)).map_err(NotGood::Forbidden)?;
    }
    Ok(row)
}

/// Whether the hello is good; its session is registered then, but not yet known to the hub if it is new. The caller has
/// announced the look to the endings, and holds a guard of the verifications under way.
pub(super) async fn admit(shared: &Arc<Shared>, digest: Digest, hello: &Hello) -> Result<Admitted, Rejected> {
    let store = &shared.parts.store;
    let judged = witness(shared, hello).await?;
    let token = token_look(&shared.parts, digest, &hello.namespaces).await.map_err(refused_token)?;
    let protocol = hello.protocol.min(PROTOCOL);
    if protocol < hello.protocol_oldest || protocol < PROTOCOL_FED_OLDEST {
        let message = format!(
            "this authority speaks protocols {PROTOCOL_FED_OLDEST} to {PROTOCOL}, the verifier {} to {}: bring both to one version",
            hello.protocol_oldest, hello.protocol
        );
        return Err(refused(Refusal::Protocol, message));
    }
    if hello.verifier.is_authority() {
        return Err(refused(
            Refusal::Invalid,
            "the name `authority` is reserved: give the verifier another".to_owned(),
        ));
    }
    let mut names: Vec<&NamespaceName> = hello.namespaces.iter().collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() || names.len() != hello.namespaces.len() {
        return Err(refused(Refusal::Invalid, "a verifier serves at least one namespace, and each once".to_owned()));
    }
    for name in names {
        if store.namespace(name.clone()).await.map_err(unavailable)?.is_none() {
            return Err(refused(Refusal::UnknownNamespace, format!("there is no namespace {name}: create it first")));
        }
    }
    let known = shared.floor().look(|hub, _, _| hub.session_known(hello.session).cloned());
    let resume = resume(shared, hello, judged).await?;
    let facts = match known {
        Some(facts) => facts,
        None => register(shared, &token, hello, resume).await?,
    };
    // What is below was never seen by this session: a known one that says so is not what it was registered as.
    let resume = resume.filter(|resume| *resume >= facts.opened);
    let same_namespaces = facts.namespaces.len() == hello.namespaces.len()
        && facts.namespaces.iter().all(|name| hello.namespaces.contains(name));
    if facts.credential != token.credential
        || facts.verifier != hello.verifier
        || facts.place != hello.place
        || !same_namespaces
    {
        return Err(refused(Refusal::Invalid, foreign(hello.session)));
    }
    Ok(Admitted { protocol, facts, token, judged, resume })
}

/// Hears what a verifier has seen, before its token is looked at: to an older state of the data that token may be unknown, and
/// what it shows proves itself (`feed-protocol.md` 26).
async fn witness(shared: &Arc<Shared>, hello: &Hello) -> Result<Option<Judgement>, Rejected> {
    let parts = &shared.parts;
    let rolled_back = |found: &RolledBack| Err(refused(Refusal::Rollback, found.to_string()));
    if let Some(found) = parts.fence.found() {
        return rolled_back(found);
    }
    // One that was never sealed is of an authority before protocol 3: it says nothing, for or against.
    let Some(head) = hello.head.as_ref().filter(|head| head.mac.is_some()) else { return Ok(None) };
    let judged = head_judge(&parts.store, &parts.keys, head).await.map_err(unavailable)?;
    if let Judgement::Rollback(lost) = judged {
        let found = RolledBack { head: head.clone(), lost };
        warn!(session = %hello.session, verifier = %hello.verifier, "rollback: a verifier has seen what is not here");
        shared.roll_back(found.clone()).await;
        return rolled_back(&found);
    }
    Ok(Some(judged))
}

/// Where the verifier may go on, whether from its own memory or from a disk: from a state that is of this history, which its
/// head vouches for, since each record and each watermark comes after a head that covers it (`feed-protocol.md` 26, 28).
async fn resume(shared: &Shared, hello: &Hello, judged: Option<Judgement>) -> Result<Option<Revision>, Rejected> {
    let head = hello.head.as_ref().filter(|_| judged == Some(Judgement::Ours));
    let Some((resume, head)) = hello.resume.zip(head) else { return Ok(None) };
    let last = shared.parts.store.commit_log().head().revision;
    let fits = resume <= last && resume <= head.revision && reached(shared, resume).await?;
    Ok(fits.then_some(resume))
}

/// Whether the log still has all that comes after this.
async fn reached(shared: &Shared, resume: Revision) -> Result<bool, Rejected> {
    let store = &shared.parts.store;
    if store.commit_log().after(resume, 0).is_some() {
        return Ok(true);
    }
    match store.records(resume, resume, 1).await {
        Ok(_) => Ok(true),
        Err(StoreError::LogCut { .. }) => Ok(false),
        Err(error) => Err(unavailable(error)),
    }
}

async fn register(
    shared: &Shared,
    token: &TokenRow,
    hello: &Hello,
    resume: Option<Revision>,
) -> Result<SessionFacts, Rejected> {
    let parts = &shared.parts;
    let there = shared.floor().look(|hub, _, _| hub.sessions_of(token.credential, &hello.verifier));
    if there.name >= SESSIONS_OF_NAME_MAX || there.credential >= SESSIONS_OF_CREDENTIAL_MAX {
        let message = format!(
            "{} sessions of this credential have not ended, {} of them of verifier {}, and no more are opened: each was killed \
             without a goodbye, and is forgotten after {} minutes of silence; find out what restarts it",
            there.credential,
            there.name,
            hello.verifier,
            FORGET_AFTER.as_secs().div_ceil(60)
        );
        return Err(refused(Refusal::TooMany, message));
    }
    let row = SessionRow {
        session: hello.session,
        verifier: hello.verifier.clone(),
        credential: token.credential,
        namespaces: hello.namespaces.clone(),
        // With state from a disk it knows no more than that. Without, its first view opens later, so it knows at least this.
        opened: resume.unwrap_or_else(|| parts.store.commit_log().head().revision),
        opened_at: parts.time.now(),
        place: hello.place,
        ended: None,
    };
    let row = parts.store.session_open(row).await.map_err(unavailable)?;
    if row.ended.is_some() {
        return Err(Rejected::Ended);
    }
    parts.events.tell(Event::Session(session_event(&row, "opened", row.opened_at)));
    Ok(facts(row))
}

/// What is told of a session that was opened, or ended.
pub(super) fn session_event(row: &SessionRow, state: &str, at: UnixTime) -> SessionEvent {
    SessionEvent {
        session: row.session,
        verifier: row.verifier.clone(),
        namespaces: row.namespaces.clone(),
        state: state.to_owned(),
        at: at.into(),
    }
}

fn refused_token(why: NotGood) -> Rejected {
    match why {
        NotGood::Unauthenticated => refused(
            Refusal::Unauthenticated,
            "the token does not exist, was revoked, or expired: give the verifier another".to_owned(),
        ),
        NotGood::Forbidden(denied) => refused(Refusal::Forbidden, denied.to_string()),
        NotGood::Unavailable(error) => unavailable(error),
    }
}

fn unavailable(error: StoreError) -> Rejected {
    warn!(%error, "a hello could not be decided");
    refused(Refusal::Unavailable, "the authority cannot read or write its store now: try again".to_owned())
}

fn refused(why: Refusal, message: String) -> Rejected {
    Rejected::Refused(Refused { why, message })
}

fn foreign(session: SessionId) -> String {
    format!("session {session} is another's: its credential, name, namespaces and place never change")
}
