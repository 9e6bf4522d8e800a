//! The task that drives a session over its streams.
//!
//! Purpose: it owns the [`Session`], is the only writer of the replica, and performs the session's effects in order.
//! Guarantee: what it applies is visible before what follows is sent, and renewals leave from here alone, so a driver
//! that is stuck loses its lease. Not guaranteed: that it lives; if it dies the verifier goes stale (see
//! [`super::Verifier`]).

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use jeton_feed::{
    frame::Frame,
    lease::Void,
    message::{ToAuthority, ToVerifier, Welcome},
    numbers::PROTOCOL_OF_FRAMES,
    record::Record,
    usage::{PROTOCOL_OF_USAGE, Reporter},
    verifier::{Effect, Input, Note, Session},
};
use jeton_proto::{MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX_UNFRAMED};
use jeton_types::{BootTime, Revision, Secret, UnixTime};
use tokio::{
    select,
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

use super::{
    copy::{self, Job, Keeper, Whole},
    dial::Road,
    link::{Down, Event, Link, Report},
    shared::Shared,
    status::Trouble,
    usage::Collected,
};

/// Reports that may wait for the driver: the transport's flow control holds back the rest.
const REPORTS_MAX: usize = 64;
/// How long a stream that was finished may take to be closed by the authority.
const LINGER: Duration = Duration::from_secs(2);
/// The driver wakes at least this often, so that a clock that was bent is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(250);

/// What others ask of the driver.
#[derive(Debug)]
pub(super) enum Command {
    /// The token is another one.
    Token(Secret<String>),
    /// Say goodbye. The sender is dropped once the authority has closed the stream, or will not.
    Leave(Option<oneshot::Sender<Infallible>>),
}

pub(super) struct Driver {
    shared: Arc<Shared>,
    session: Session,
    road: Road,
    token: Secret<String>,
    commands: mpsc::UnboundedReceiver<Command>,
    reporter: mpsc::Sender<Report>,
    reports: mpsc::Receiver<Report>,
    link: Option<Link>,
    links: u64,
    connect_at: Option<Instant>,
    /// A stream that has been finished and is not closed yet, and until when it may take.
    lingering: Option<(Link, Instant)>,
    /// The present stream's connection stands.
    up: bool,
    /// The present stream does not take what is sent.
    stuck: bool,
    /// The last authority that said so is of a protocol without frames: the next stream of it may bring larger messages.
    unframed: bool,
    snapshot_begun: BootTime,
    /// What is told of tokens in use, over a stream that takes it.
    usage: Reporter,
    usage_open: bool,
    collected: Collected,
    collected_at: BootTime,
    leave: Leave,
}

#[derive(Debug)]
enum Leave {
    No,
    /// Goodbye was said; the stream is being closed. Who waits is told by the end of the driver.
    Saying(Vec<oneshot::Sender<Infallible>>),
    Done,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        session: Session,
        road: Road,
        token: Secret<String>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS_MAX);
        Self {
            shared,
            session,
            road,
            token,
            commands,
            reporter,
            reports,
            link: None,
            links: 0,
            connect_at: None,
            lingering: None,
            up: false,
            stuck: false,
            unframed: false,
            snapshot_begun: BootTime::ZERO,
            usage: Reporter::default(),
            usage_open: false,
            collected: Collected::default(),
            collected_at: BootTime::ZERO,
            leave: Leave::No,
        }
    }

    /// Runs until goodbye is said, the last stream closed and the last copy of the replica written.
    pub(super) async fn run(mut self) {
        self.load().await;
        self.step(Input::Tick);
        while !matches!(self.leave, Leave::Done) {
            let wake = self.wake();
            select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    // Cannot be while `shared` lives; nobody could ever be answered.
                    None => pending().await,
                },
                Some(report) = self.reports.recv() => self.report(report),
                () = self.shared.nudge.notified() => {}
                () = sleep_until(wake) => self.tick(),
            }
            self.look_around();
        }
        if let Some(keeper) = self.shared.keeper.clone()
            && let Some(job) = keeper.last(&self.session, &self.shared.replica)
        {
            let _ = self.copy(keeper, job).await;
        }
    }

    /// Goes on from the copy in the state folder, if there is one (`feed-protocol.md` 28).
    async fn load(&mut self) {
        let Some(keeper) = self.shared.keeper.clone() else { return };
        let (reader, namespaces) = (Arc::clone(&keeper), self.shared.namespaces.clone());
        let loaded = spawn_blocking(move || copy::load(reader.folder(), &namespaces)).await;
        let Ok(Some((Whole { replica, visible, at, head }, bytes))) = loaded else { return };
        self.shared.replica.take_over(replica);
        let now = self.shared.clock.now();
        keeper.loaded(at, bytes, now.boot);
        self.session = Session::resuming(self.session.config().clone(), now, visible, at, head);
    }

    fn copy(&self, keeper: Arc<Keeper>, job: Job) -> JoinHandle<()> {
        let shared = Arc::clone(&self.shared);
        spawn_blocking(move || keeper.write(job, &*shared.clock, &*shared.observe))
    }

    /// Begins a copy of the replica if one is due, and tells one that is being written how far the session is.
    fn keep(&self) {
        if let Some(keeper) = &self.shared.keeper
            && let Some(job) = keeper.follow(&self.session, &self.shared.replica, self.shared.clock.now().boot)
        {
            drop(self.copy(Arc::clone(keeper), job));
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Token(token) => {
                tracing::info!("the token file has changed, opening a stream with the new token");
                self.token = token;
                self.step(Input::TokenChanged);
            }
            Command::Leave(tell) => self.leave(tell),
        }
    }

    fn leave(&mut self, tell: Option<oneshot::Sender<Infallible>>) {
        if let Leave::Saying(waiting) = &mut self.leave {
            waiting.extend(tell);
            return;
        }
        self.leave = Leave::Saying(tell.into_iter().collect());
        let before = self.lingering.as_ref().map(|(link, _)| link.number);
        self.step(Input::Leave);
        let saying = self.lingering.as_ref().map(|(link, _)| link.number);
        if saying.is_none() || saying == before {
            // There was no stream to say it on.
            self.left(false);
        }
    }

    fn left(&mut self, heard: bool) {
        let _ = self.shared.farewell.set(heard);
        self.leave = Leave::Done;
    }

    fn report(&mut self, Report { link, event }: Report) {
        if self.link.as_ref().is_some_and(|present| present.number == link) {
            match event {
                Event::Up => {
                    self.up = true;
                    self.shared.observe.connected(true);
                    self.step(Input::Connected);
                }
                Event::Heard(message) => self.heard(message),
                Event::Down(why) => self.down(&why),
            }
        } else if self.lingering.as_ref().is_some_and(|(last, _)| last.number == link)
            && let Event::Down(why) = event
        {
            self.lingering = None;
            if matches!(self.leave, Leave::Saying(_)) {
                self.left(matches!(why, Down::Closed));
            }
        }
    }

    fn heard(&mut self, message: ToVerifier) {
        match &message {
            ToVerifier::Welcome(welcome) => self.time_heard(welcome.authority_time),
            ToVerifier::Heartbeat { authority_time, .. } => self.time_heard(*authority_time),
            ToVerifier::Grant(grant) => self.time_heard(grant.authority_time),
            ToVerifier::UsageTaken { number } => self.usage.taken(*number),
            _ => {}
        }
        let seen = match &message {
            ToVerifier::SnapshotBegin { .. } => {
                self.snapshot_begun = self.shared.clock.now().boot;
                None
            }
            ToVerifier::Welcome(Welcome { protocol, .. }) => {
                self.unframed = *protocol < PROTOCOL_OF_FRAMES;
                None
            }
            ToVerifier::Record(Record { revision, committed_at, .. })
            | ToVerifier::Frame(Frame { last: true, record: Record { revision, committed_at, .. }, .. }) => {
                Some((*revision, *committed_at))
            }
            _ => None,
        };
        if let (ToVerifier::Frame(_), Some(keeper)) = (&message, &self.shared.keeper) {
            // A copy does not hold parts of a record: it is tried again later.
            keeper.spoiled();
        }
        let aside = match &message {
            ToVerifier::Record(record) if self.shared.keeper.as_ref().is_some_and(|keeper| keeper.takes_records()) => {
                Some(record.clone())
            }
            _ => None,
        };
        self.step(Input::Message(message));
        if let Some((revision, committed_at)) = seen {
            self.record_seen(revision, committed_at, aside);
        }
        self.keep();
    }

    fn time_heard(&mut self, authority_time: UnixTime) {
        self.usage.hear(authority_time, self.shared.clock.now().boot);
    }

    fn record_seen(&self, revision: Revision, committed_at: UnixTime, aside: Option<Record>) {
        if self.session.status().applied >= Some(revision) {
            if let Some(keeper) = &self.shared.keeper {
                keeper.applied(aside);
            }
            let since = self.shared.clock.now().real.since(committed_at);
            self.shared.observe.record(revision, committed_at, since);
        }
    }

    fn down(&mut self, why: &Down) {
        if matches!(why, Down::Unreadable(_) | Down::TooLarge(_)) {
            // It may have been a record: nothing may be answered as if it had not come (`feed-protocol.md` 8).
            jeton_feed::replica::Replica::lease_void(&*self.shared.replica, Void::Unappliable);
        }
        self.shared.trouble(Trouble::of_stream(why));
        drop(self.link_take());
        self.step(Input::Disconnected);
    }

    fn link_take(&mut self) -> Option<Link> {
        self.usage_open = false;
        if std::mem::take(&mut self.up) {
            self.shared.observe.connected(false);
        }
        self.link.take()
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.connect_at.is_some_and(|at| at <= now) {
            self.connect_at = None;
            self.links += 1;
            let listing = self.shared.state.as_ref().map(|state| state.listing(self.session.config().session));
            let (road, reporter) = (self.road.clone(), self.reporter.clone());
            let bytes_max = if self.unframed { MESSAGE_BYTES_MAX_UNFRAMED } else { MESSAGE_BYTES_MAX };
            self.link = Some(Link::open(self.links, road, &self.token, bytes_max, listing, reporter));
        }
        if self.lingering.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.lingering = None;
            if matches!(self.leave, Leave::Saying(_)) {
                self.left(false);
            }
        }
        self.step(Input::Tick);
    }

    /// When there is something to do though nobody says anything.
    fn wake(&self) -> Instant {
        let (now, boot) = (Instant::now(), self.shared.clock.now().boot);
        let session = self.session.next_wakeup().since(boot).min(SLEEP_MAX);
        let first_use = self.shared.waiters.next_wakeup().map(|at| at.since(boot));
        let soonest = now + first_use.map_or(session, |wait| wait.min(session));
        let lingering = self.lingering.as_ref().map(|(_, until)| *until);
        [self.connect_at, lingering].into_iter().flatten().fold(soonest, Instant::min)
    }

    /// What those who verify want of the session.
    fn look_around(&mut self) {
        if self.shared.replica.jump_take() {
            self.step(Input::JumpSeen);
        }
        if self.shared.waiters.wants_ask(self.shared.clock.now().boot) {
            self.step(Input::AskWatermark);
        }
        self.usage_tell();
    }

    /// Collects what was seen of tokens in use, now and then, and tells what is due.
    fn usage_tell(&mut self) {
        let now = self.shared.clock.now().boot;
        if now.since(self.collected_at) >= SLEEP_MAX {
            self.collected_at = now;
            self.shared.uses.collect(&mut self.collected, &mut self.usage);
        }
        if self.usage_open
            && let Some(report) = self.usage.due(now)
        {
            self.usage_send(report);
        }
    }

    fn usage_send(&mut self, report: jeton_feed::usage::Report) {
        // A stream that takes nothing is found out by what matters more; the report comes again on the next one.
        let sent = self.link.as_ref().is_some_and(|link| link.send(ToAuthority::Usage(report)).is_ok());
        self.usage_open &= sent;
    }

    /// The last report, before a goodbye: no use follows it.
    fn usage_farewell(&mut self) {
        if self.usage_open {
            self.shared.uses.collect(&mut self.collected, &mut self.usage);
            for report in self.usage.farewell() {
                self.usage_send(report);
            }
        }
    }

    fn step(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let now = self.shared.clock.now();
            let replica = Arc::clone(&self.shared.replica);
            for effect in self.session.step(now, input, &*replica) {
                next = self.perform(effect).or(next);
            }
            if std::mem::take(&mut self.stuck) && self.link.is_some() {
                self.shared.trouble(Trouble::stuck());
                drop(self.link_take());
                next = Some(Input::Disconnected);
            }
        }
        self.shared.told(self.session.config().session, self.session.status());
    }

    /// Performs an effect; returns what the session must be told because of it.
    fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Connect { after } => self.connect_at = Some(Instant::now() + after),
            Effect::Disconnect => {
                self.connect_at = None;
                let up = self.up;
                if let Some(mut link) = self.link_take()
                    && up
                {
                    link.finish();
                    self.lingering = Some((link, Instant::now() + LINGER));
                }
            }
            Effect::Send(message @ ToAuthority::Goodbye) => {
                self.usage_farewell();
                self.stuck |= self.link.as_ref().is_none_or(|link| link.send(message).is_err());
            }
            Effect::Send(message) => self.stuck |= self.link.as_ref().is_none_or(|link| link.send(message).is_err()),
            Effect::Asked { request } => self.shared.waiters.sent(self.shared.clock.now().boot, request),
            Effect::Watermark { request } => {
                if let Some(sent) = self.shared.waiters.answered(request) {
                    self.shared.replica.confirm(sent);
                }
            }
            Effect::AsksFailed => self.shared.waiters.failed(),
            Effect::Mistrusted => {
                self.copy_discard();
                self.shared.observe.replica_mistrusted();
            }
            Effect::Succeeded { sessions } => {
                if let Some(state) = &self.shared.state {
                    state.succeeded(sessions);
                }
            }
            Effect::Lost(why) => {
                self.shared.observe.session_lost();
                self.shared.trouble(Trouble::of_loss(&why));
                let fresh = self.shared.session_id();
                self.usage.successor();
                self.session = self.session.successor(fresh, self.shared.clock.now());
                return Some(Input::Tick);
            }
            Effect::Note(note) => self.note(&note),
        }
        None
    }

    /// What was made of the table is worth no more than the table.
    fn copy_discard(&self) {
        if let Some(keeper) = &self.shared.keeper {
            keeper.discard();
        }
    }

    fn note(&mut self, note: &Note) {
        if matches!(note, Note::OtherStore { .. }) {
            self.copy_discard();
        }
        match note {
            Note::Welcomed { protocol, .. } if *protocol >= PROTOCOL_OF_USAGE => {
                tracing::info!("{note}");
                self.usage_open = true;
                if let Some(report) = self.usage.opened() {
                    self.usage_send(report);
                }
            }
            Note::Snapshot { rows, .. } => {
                if let Some(keeper) = &self.shared.keeper {
                    keeper.replaced();
                }
                let took = self.shared.clock.now().boot.since(self.snapshot_begun);
                self.shared.observe.snapshot(took, *rows);
                tracing::info!(took_ms = took.as_millis(), "{note}");
            }
            note if note.is_alarm() => self.shared.trouble(Trouble::of_note(note)),
            note => tracing::info!("{note}"),
        }
    }
}
