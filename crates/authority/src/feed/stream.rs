//! One stream of one session, from its hello to its end.
//!
//! Purpose: a task that takes in what a verifier says and, through [`Sender`], says what it is to know. Guarantee: its
//! hello counts as a verification until the stream is registered, each renewal looks at the token anew, and the hub learns
//! of its end however it ends. Not guaranteed: that it lives. Its end ends no session; a goodbye does.

use std::{
    collections::VecDeque,
    error::Error as _,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jeton_api::event::AlarmEvent;
use jeton_feed::{
    authority::{Input, StreamId},
    message::{Hello, ToAuthority, ToVerifier},
    rollback::Judgement,
};
use jeton_proto::{BadMessage, wire};
use jeton_store::Store;
use jeton_types::{Digest, NamespaceName, Revision, SessionId};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Code, Status, Streaming};
use tracing::{debug, info, warn};

use super::{
    floor::{Control, Opening},
    handle::{HubParts, Shared},
    hello::{Admitted, NotGood, Rejected, admit, token_look},
    outgoing::Outgoing,
    sender::{Covered, Sender, Terms, Unacked, heartbeats},
    usage::Counting,
};
use crate::event::Event;

/// How long a stream may take to say who it is.
const HELLO_WAIT: Duration = Duration::from_secs(5);
/// Watermark requests that may wait. A verifier has one under way at a time.
const ASKS_MAX: usize = 32;

/// Why a stream ends.
#[derive(Debug)]
pub(super) enum End {
    /// The other side went away, or was told why in a message.
    Closed,
    /// The hub cut it: another stream of the session is newer, or its token ended.
    Cut,
    /// It took nothing for too long.
    Stalled,
    /// It took its snapshot too slowly while others waited for theirs.
    Slow,
    /// No hello came.
    Silent,
    /// It broke a rule of form.
    Bad(BadMessage),
    /// A second hello came.
    Twice,
    /// The store could not be read.
    Unavailable,
    /// The authority shuts down.
    Closing,
}

impl End {
    /// What the transport is told; nothing if all is said.
    pub(super) fn status(&self) -> Option<Status> {
        match self {
            Self::Closed => None,
            Self::Cut => Some(Status::aborted(self.to_string())),
            Self::Stalled | Self::Slow | Self::Silent => Some(Status::deadline_exceeded(self.to_string())),
            Self::Bad(_) | Self::Twice => Some(Status::invalid_argument(self.to_string())),
            Self::Unavailable | Self::Closing => Some(Status::unavailable(self.to_string())),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Cut => f.write_str("cut: a newer stream took its place, or its token ended"),
            Self::Stalled => f.write_str("cut: nothing was taken from it for too long"),
            Self::Slow => f.write_str("cut: it took its snapshot too slowly while others waited for theirs"),
            Self::Silent => f.write_str("no hello came in time"),
            Self::Bad(bad) => bad.fmt(f),
            Self::Twice => f.write_str("a stream has one hello"),
            Self::Unavailable => f.write_str("the authority cannot read its store now: try again"),
            Self::Closing => f.write_str("the authority shuts down: try again"),
        }
    }
}

/// Serves a stream until it ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    digest: Digest,
    mut incoming: Streaming<wire::ToAuthority>,
    out: Outgoing,
) {
    let end = tokio::select! {
        biased;
        () = shared.closing() => End::Closing,
        end = serve(&shared, digest, &mut incoming, &out) => end,
    };
    out.end(&end);
}

async fn serve(
    shared: &Arc<Shared>,
    digest: Digest,
    incoming: &mut Streaming<wire::ToAuthority>,
    out: &Outgoing,
) -> End {
    let hello = match timeout(HELLO_WAIT, next(incoming)).await {
        Err(_) => return End::Silent,
        Ok(Err(end)) => return end,
        Ok(Ok(ToAuthority::Hello(hello))) => hello,
        Ok(Ok(_)) => return End::Bad(BadMessage { what: "hello", why: "a stream begins with its hello" }),
    };
    // Until the stream is registered its hello is a verification under way (`feed-protocol.md` 7): whoever ends the token
    // waits for it, and then finds the stream.
    let verification = shared.parts.inflight.begin();
    let looking = Looking::begin(shared, hello.session);
    let admitted = match admit(shared, digest, &hello).await {
        Ok(admitted) => admitted,
        Err(rejected) => {
            drop((looking, verification));
            return reject(out, &hello, rejected).await;
        }
    };
    let stream = Registered { shared, stream: shared.stream_number() };
    // Whoever shows nothing has seen nothing, or is too old to say.
    let foreign = admitted.judged == Some(Judgement::Foreign);
    let mismatch = match admitted.resume {
        None => false,
        Some(resume) => match contradicts(shared, &hello, resume).await {
            Ok(mismatch) => mismatch,
            Err(end) => return end,
        },
    };
    let Admitted { protocol, facts, token, resume, .. } = admitted;
    let resume = resume.filter(|_| !mismatch);
    let mut control = shared.floor().stream_open(Opening {
        facts,
        stream: stream.stream,
        epoch: hello.epoch,
        token: token.id,
        resume,
    });
    drop((looking, verification));
    if shared.parts.succession && !hello.claims.is_empty() {
        info!(session = %hello.session, verifier = %hello.verifier, claims = hello.claims.len(), "sessions are claimed by a process in their place");
        shared.step(Input::Claimed { stream: stream.stream, sessions: hello.claims.clone() });
    }
    info!(session = %hello.session, verifier = %hello.verifier, stream = stream.stream.0, resume = ?resume, mismatch, "stream opened");
    let open = Open {
        shared,
        hello: &hello,
        digest,
        stream: stream.stream,
        unacked: Unacked::default(),
        covered: Covered::default(),
        left: AtomicBool::new(false),
    };
    let end = open.run(incoming, out, &mut control, Terms { protocol, resume, foreign, mismatch }).await;
    info!(session = %hello.session, verifier = %hello.verifier, stream = stream.stream.0, %end, "stream ended");
    end
}

async fn reject(out: &Outgoing, hello: &Hello, rejected: Rejected) -> End {
    let message = match rejected {
        Rejected::Refused(refused) => {
            warn!(session = %hello.session, verifier = %hello.verifier, why = ?refused.why, message = %refused.message, "hello refused");
            ToVerifier::Refused(refused)
        }
        Rejected::Ended => {
            debug!(session = %hello.session, verifier = %hello.verifier, "hello of a session that has ended");
            ToVerifier::Ended
        }
    };
    match out.urge(message).await {
        Ok(()) => End::Closed,
        Err(end) => end,
    }
}

/// Whether a hello says of the verifier's table what is not so (`feed-protocol.md` 24).
async fn contradicts(shared: &Shared, hello: &Hello, resume: Revision) -> Result<bool, End> {
    let parts = &shared.parts;
    let hashes = parts.store.set_hashes().await.map_err(|error| {
        warn!(%error, "a hello could not be decided");
        End::Unavailable
    })?;
    for (namespace, said) in hello.namespaces.iter().zip(&hello.set_hashes) {
        let kept = hashes.iter().find(|row| row.namespace == *namespace);
        // Whoever is behind in a namespace is sent records of it, and looks at each.
        let comparable = kept.filter(|row| row.last_record <= resume && parts.witness.agrees(namespace));
        if comparable.is_some_and(|row| row.set_hash != *said) {
            mismatch(parts, hello, namespace);
            return Ok(true);
        }
    }
    Ok(false)
}

fn mismatch(parts: &HubParts, hello: &Hello, namespace: &NamespaceName) {
    let message = format!(
        "what verifier {} holds of namespace {namespace} is not what the log leaves: it answers stale until it has a \
         snapshot. If it happens again, check that machine's memory",
        hello.verifier
    );
    warn!(session = %hello.session, verifier = %hello.verifier, %namespace, "{message}");
    parts.metrics.replica_mismatch_count();
    let at = parts.time.now().into();
    parts.events.tell(Event::Alarm(AlarmEvent { kind: "replica_mismatch".to_owned(), message, at }));
}

async fn next(incoming: &mut Streaming<wire::ToAuthority>) -> Result<ToAuthority, End> {
    match incoming.message().await {
        Ok(Some(message)) => message.try_into().map_err(End::Bad),
        Ok(None) => Err(End::Closed),
        // Whoever writes a verifier wants to know. What broke on its way has a source; what could not be read has none.
        Err(status) if matches!(status.code(), Code::Internal | Code::OutOfRange) && status.source().is_none() => {
            debug!(%status, "not a message");
            Err(End::Bad(BadMessage {
                what: "bytes",
                why: "they are no message of this protocol, or too many for one",
            }))
        }
        Err(status) => {
            debug!(%status, "stream broken");
            Err(End::Closed)
        }
    }
}

/// A registered stream and what it is for.
struct Open<'a> {
    shared: &'a Arc<Shared>,
    hello: &'a Hello,
    digest: Digest,
    stream: StreamId,
    unacked: Unacked,
    covered: Covered,
    /// Goodbye was said.
    left: AtomicBool,
}

impl Open<'_> {
    async fn run(
        &self,
        incoming: &mut Streaming<wire::ToAuthority>,
        out: &Outgoing,
        control: &mut Control,
        terms: Terms,
    ) -> End {
        let (ask, asks) = mpsc::channel(ASKS_MAX);
        let sender = Sender {
            shared: self.shared,
            out,
            control: &mut control.messages,
            asks,
            namespaces: self.namespaces(),
            unacked: &self.unacked,
            covered: &self.covered,
            asked: VecDeque::new(),
            heartbeats: heartbeats(),
            told: Revision::ZERO,
        };
        let counting = Counting::begin(self.shared, self.hello.session, self.stream);
        let foreign = Arc::clone(&counting.foreign);
        let end = tokio::select! {
            biased;
            () = control.cut.notified() => End::Cut,
            // Nothing that it tells is to be believed.
            () = foreign.notified() => End::Bad(BadMessage { what: "usage", why: "this session does not serve that token's namespace" }),
            // Before the way out, which notices sooner that the verifier is gone: its goodbye may still be waiting.
            end = self.receive(incoming, ask, &counting) => end,
            end = sender.run(terms) => end,
        };
        // What the hub wanted sent before the cut: `end` or `ended`.
        while let Ok(message) = control.messages.try_recv() {
            out.send_now(message);
        }
        // The hub cuts the stream of a session that is over; to the verifier that is its goodbye, heard.
        if self.left.load(Ordering::Relaxed) { End::Closed } else { end }
    }

    async fn receive(
        &self,
        incoming: &mut Streaming<wire::ToAuthority>,
        ask: mpsc::Sender<u64>,
        counting: &Counting,
    ) -> End {
        loop {
            let message = match next(incoming).await {
                Ok(message) => message,
                Err(end) => return end,
            };
            match message {
                ToAuthority::Hello(_) => return End::Twice,
                // Believed it would complete receipts of what that verifier has never seen.
                ToAuthority::Ack { revision } if !self.covered.covers(revision) => {
                    warn!(session = %self.hello.session, verifier = %self.hello.verifier, %revision, "an acknowledgement of what was not sent");
                    return End::Bad(BadMessage { what: "ack", why: "this stream was not sent that much" });
                }
                ToAuthority::Ack { revision } => self.acked(revision),
                ToAuthority::Renew { request } => self.renew(request).await,
                ToAuthority::Ask { request } => {
                    if ask.send(request).await.is_err() {
                        return End::Closed;
                    }
                }
                ToAuthority::Usage(report) => counting.report(self.hello.session, report),
                ToAuthority::Goodbye => {
                    info!(session = %self.hello.session, verifier = %self.hello.verifier, "goodbye");
                    self.shared.step(Input::Goodbye { stream: self.stream });
                    self.left.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn acked(&self, revision: Revision) {
        self.shared.step(Input::Ack { stream: self.stream, revision });
        let now = self.shared.parts.time.now();
        for committed_at in self.unacked.acked(revision) {
            self.shared.parts.metrics.propagation_observe(&self.hello.verifier, now.since(committed_at));
        }
    }

    /// Each grant looks at the stream's token (`feed-protocol.md` 9), in a view that opens after the request came.
    async fn renew(&self, request: u64) {
        let verification = self.shared.parts.inflight.begin();
        let token_good = match token_look(&self.shared.parts, self.digest, self.namespaces()).await {
            Ok(_) => true,
            Err(NotGood::Unauthenticated | NotGood::Forbidden(_)) => false,
            Err(NotGood::Unavailable(error)) => {
                // Neither good nor bad: no lease, and no end. The verifier asks again.
                warn!(%error, session = %self.hello.session, "a renewal could not be decided");
                return;
            }
        };
        self.shared.step(Input::Renew { stream: self.stream, request, token_good });
        drop(verification);
    }

    fn namespaces(&self) -> &[NamespaceName] {
        &self.hello.namespaces
    }
}

/// Tells the hub that a stream is gone, however it went.
struct Registered<'a> {
    shared: &'a Arc<Shared>,
    stream: StreamId,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.floor().stream_close(self.stream);
    }
}

/// A hello that looks its session up.
struct Looking<'a> {
    shared: &'a Arc<Shared>,
    session: SessionId,
}

impl<'a> Looking<'a> {
    fn begin(shared: &'a Arc<Shared>, session: SessionId) -> Self {
        shared.floor().endings.look(session);
        Self { shared, session }
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.shared.floor().endings.looked(self.session);
    }
}
