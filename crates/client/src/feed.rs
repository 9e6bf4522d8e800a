//! A verifier that keeps itself current over the authority's feed.
//!
//! [`Verifier::start`] spawns a task that holds a session with the authority and applies what comes to a replica in
//! memory; [`Verifier::verify`] answers from that replica on the caller's own thread. Only a token that may be newer
//! than the replica waits, 250 ms at most, for the authority's word.
//!
//! Guaranteed: no answer is given without a lease or grace (but `malformed`, and `revoked`, which never changes); after
//! [`Verifier::leave`] none is given at all; if the task dies, every answer is stale and [`Verifier::failed`] says so.
//! Not guaranteed: an answer. Whoever gets [`Answer::Stale`] tells its own client to try again, and lets nothing in.

mod config;
mod copy;
mod dial;
mod driver;
mod first_use;
mod gate;
mod link;
mod observe;
mod shared;
mod state;
mod status;
mod token;
mod usage;

use std::{net::IpAddr, sync::Arc, time::Duration};

use jeton_feed::{
    lease::Void,
    numbers::FIRST_USE_WAIT,
    verifier::{Session, SessionConfig},
};
use jeton_types::Entropy;
use jeton_verifier::{Code, MemoryReplica, Outcome, Required, StaleWhy, Verdict};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, oneshot, watch},
    time::timeout,
};

pub use self::{
    config::{StartError, VerifierConfig},
    copy::CopyStatus,
    dial::{ByteStream, Dial, Dialing},
    observe::{Observe, Unobserved},
    status::{NamespaceStatus, Right, Status, Trouble, TroubleKind},
    token::TokenSource,
};
use self::{
    copy::Keeper,
    driver::{Command, Driver},
    gate::Gate,
    shared::{Progress, Shared, session_id},
};

/// How long [`Verifier::leave`] waits for the verifications under way. They need a first-use wait and a moment; one that
/// nobody polls any more comes to nothing, since lease and grace are void by then.
const EMPTY_WAIT: Duration = FIRST_USE_WAIT.saturating_mul(4);
/// How long it waits for the driver, which gives the authority two seconds of these.
const FAREWELL_WAIT: Duration = Duration::from_secs(3);
/// And how long for the last copy of the replica, if there is a state folder. Without it the one before is there still.
const KEEP_WAIT: Duration = Duration::from_secs(10);

/// A verifier. Clones are the same verifier; when the last is dropped, it leaves.
#[derive(Clone)]
pub struct Verifier {
    owner: Arc<Owner>,
}

/// What all clones own together.
struct Owner {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
}

/// How a verification came out.
#[derive(Debug, Clone)]
pub enum Answer {
    /// An answer, with its evidence.
    Verdict(Verdict),
    /// It cannot be said now: neither valid nor invalid. Try again.
    Stale(StaleWhy),
}

/// From where a verification is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The address of who presented the token, as far as known: what the token's own addresses are compared with.
    pub client: Option<IpAddr>,
    /// The address of who asks, which may be a proxy or a service. Verifications that wait are bounded by the client's
    /// address, or by this one where that is not known.
    pub peer: Option<IpAddr>,
}

/// The verifier left, or its driver died: it will never be ready again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this verifier is over")]
pub struct Over;

impl Answer {
    /// Whether to let it in.
    #[must_use]
    pub fn valid(&self) -> bool {
        matches!(self, Self::Verdict(verdict) if verdict.valid())
    }

    /// Why, or why not.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Verdict(verdict) => verdict.code(),
            Self::Stale(_) => Code::Stale,
        }
    }
}

impl Verifier {
    /// Starts a verifier on the present tokio runtime and returns at once; its first answers are stale
    /// ([`Verifier::wait_ready`]). That the authority is away is no error: the verifier goes on trying.
    ///
    /// # Errors
    /// [`StartError`] for what does not pass by itself.
    pub fn start(config: VerifierConfig) -> Result<Self, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::Runtime)?;
        let checked = config.check()?;
        let session = Session::new(
            SessionConfig {
                verifier: config.name,
                session: session_id(&*config.entropy),
                namespaces: config.namespaces.clone(),
                jitter_seed: jitter_seed(&*config.entropy),
                place: checked.state.as_ref().map(state::State::place),
                claims: checked.state.as_ref().map(|state| state.claims().to_vec()).unwrap_or_default(),
            },
            config.clock.now(),
        );
        let progress =
            Progress { session: session.config().session, status: session.status(), trouble: None, failed: false };
        let keeper = checked.state.as_ref().map(|state| {
            let folder = state.folder().to_path_buf();
            Arc::new(Keeper::new(folder, config.namespaces.clone()))
        });
        let shared = Arc::new(Shared {
            replica: Arc::new(MemoryReplica::new(&config.namespaces)),
            namespaces: config.namespaces,
            clock: config.clock,
            entropy: config.entropy,
            observe: config.observe,
            waiters: first_use::Waiters::default(),
            gate: Gate::default(),
            uses: usage::Uses::default(),
            nudge: Notify::new(),
            progress: watch::Sender::new(progress),
            farewell: std::sync::OnceLock::new(),
            state: checked.state,
            keeper,
            kept: watch::Sender::new(false),
        });
        let (commands, queue) = mpsc::unbounded_channel();
        let driver = Driver::new(Arc::clone(&shared), session, checked.road, checked.token, queue);
        let watch = checked.token_file.map(|file| {
            let commands = commands.clone();
            token::watch(file, move |token| commands.send(Command::Token(token)).is_ok())
        });
        runtime.spawn(supervise(Arc::clone(&shared), driver, watch));
        Ok(Self { owner: Arc::new(Owner { shared, commands }) })
    }

    /// Whether the token of this text is good for what is required. `client` is the address of who presented it, as far
    /// as known: a token may be bound to addresses, and is good from none that is not known then.
    pub async fn verify(&self, text: &[u8], required: &Required, client: Option<IpAddr>) -> Answer {
        self.verify_from(text, required, Origin { client, peer: client }).await
    }

    /// [`Verifier::verify`] for a caller that asks on behalf of its own client.
    pub async fn verify_from(&self, text: &[u8], required: &Required, origin: Origin) -> Answer {
        let answer = self.answer(text, required, origin).await;
        self.counted(answer)
    }

    /// [`Verifier::verify`] without a wait: nothing if it needs the authority's word. Then ask again with a wait.
    #[must_use]
    pub fn verify_now(&self, text: &[u8], required: &Required, client: Option<IpAddr>) -> Option<Answer> {
        let shared = &*self.owner.shared;
        let answer = match shared.gate.enter() {
            None => Answer::Stale(self.why_shut()),
            Some(_pass) => match shared.replica.verify(text, required, client, || shared.clock.now()) {
                Outcome::NeedsWatermark(_) => return None,
                outcome => shared.answer(outcome, Origin { client, peer: client }),
            },
        };
        Some(self.counted(answer))
    }

    fn counted(&self, answer: Answer) -> Answer {
        let source = match &answer {
            Answer::Verdict(verdict) => Some(verdict.source()),
            Answer::Stale(_) => None,
        };
        self.owner.shared.observe.verification(answer.code(), source);
        answer
    }

    async fn answer(&self, text: &[u8], required: &Required, origin: Origin) -> Answer {
        let shared = &*self.owner.shared;
        let Some(_pass) = shared.gate.enter() else { return Answer::Stale(self.why_shut()) };
        let clock = || shared.clock.now();
        match shared.replica.verify(text, required, origin.client, clock) {
            Outcome::NeedsWatermark(_) => {}
            outcome => return shared.answer(outcome, origin),
        }
        // From here on somebody waits. The second look is made with the proof that it came after the answer.
        let began = shared.clock.now().boot;
        let caught_up = match shared.waiters.join(began, origin.client.or(origin.peer)) {
            Ok(place) => {
                shared.nudge.notify_one();
                place.caught_up().await
            }
            Err(_too_many) => return Answer::Stale(StaleWhy::TooManyWait),
        };
        shared.observe.first_use_wait(shared.clock.now().boot.since(began), caught_up.is_ok());
        match caught_up {
            Ok(caught_up) => {
                let outcome = shared.replica.verify_caught_up(text, required, origin.client, caught_up, clock);
                shared.answer(outcome, origin)
            }
            Err(why) => Answer::Stale(why),
        }
    }

    fn why_shut(&self) -> StaleWhy {
        let failed = self.owner.shared.progress.borrow().failed;
        StaleWhy::Voided(if failed { Void::Unappliable } else { Void::Goodbye })
    }

    /// Whether any answer would be better than stale.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.owner.shared.ready()
    }

    /// Waits until the verifier is ready.
    ///
    /// # Errors
    /// [`Over`] if it never will be.
    pub async fn wait_ready(&self) -> Result<(), Over> {
        let shared = &self.owner.shared;
        let mut progress = shared.progress.subscribe();
        loop {
            if shared.gate.is_shut() {
                return Err(Over);
            }
            if shared.ready() {
                return Ok(());
            }
            progress.changed().await.map_err(|_| Over)?;
        }
    }

    /// The verifier at a glance.
    #[must_use]
    pub fn status(&self) -> Status {
        self.owner.shared.status()
    }

    /// Waits until the status is as wished, and gives it. Looks whenever something happened, and several times a second.
    ///
    /// # Errors
    /// [`Over`] if the verifier is over and its last status was not so.
    pub async fn status_when(&self, wished: impl Fn(&Status) -> bool) -> Result<Status, Over> {
        let mut progress = self.owner.shared.progress.subscribe();
        loop {
            progress.mark_unchanged();
            let status = self.status();
            if wished(&status) {
                return Ok(status);
            }
            if self.owner.shared.gate.is_shut() {
                return Err(Over);
            }
            progress.changed().await.map_err(|_| Over)?;
        }
    }

    /// Comes back if the driver has died, which is a bug: the process should end and be started again.
    pub async fn failed(&self) {
        let mut progress = self.owner.shared.progress.subscribe();
        // The sender lives as long as `self`, so this ends with a failure only.
        let _ = progress.wait_for(|progress| progress.failed).await;
    }

    /// Leaves: every later answer is stale, those under way are waited for, then goodbye is said. Says whether the
    /// authority heard it; if not, the receipts that await this verifier go on until its silence decides.
    pub async fn leave(&self) -> bool {
        let shared = &self.owner.shared;
        shared.shut();
        let _ = timeout(EMPTY_WAIT, shared.gate.emptied()).await;
        let (tell, told) = oneshot::channel();
        if self.owner.commands.send(Command::Leave(Some(tell))).is_ok() {
            let _ = timeout(FAREWELL_WAIT, told).await;
        }
        // Nobody waits for this process any more but the next one in its place.
        let _ = timeout(KEEP_WAIT, shared.kept.subscribe().wait_for(|kept| *kept)).await;
        shared.farewell.get().copied().unwrap_or(false)
    }
}

impl Shared {
    fn answer(&self, outcome: Outcome, origin: Origin) -> Answer {
        match outcome {
            Outcome::Answer(verdict) => {
                self.uses.count(&verdict, origin.client, &*self.clock);
                Answer::Verdict(verdict)
            }
            // Cannot be after catching up; and before it, this is not called with it.
            Outcome::NeedsWatermark(_) => Answer::Stale(StaleWhy::NotInTime),
            Outcome::Stale(why) => {
                if why == StaleWhy::Voided(Void::Jump) {
                    // The session is to renew at once.
                    self.nudge.notify_one();
                }
                Answer::Stale(why)
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Nobody can verify any more, since a verification borrows what is dropped here: so goodbye is true.
        self.shared.shut();
        let _ = self.commands.send(Command::Leave(None));
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Runs the driver and the watch on the token file; a driver that panics makes the verifier stale and says so.
async fn supervise(shared: Arc<Shared>, driver: Driver, watch: Option<impl Future<Output = ()> + Send + 'static>) {
    let watch = watch.map(tokio::spawn);
    let end = tokio::spawn(driver.run()).await;
    shared.kept.send_replace(true);
    if let Some(watch) = watch {
        watch.abort();
    }
    // Cancelled is only what a runtime that shuts down cancels.
    if end.is_err_and(|error| error.is_panic()) {
        shared.fail();
    }
}

fn jitter_seed(entropy: &dyn Entropy) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
