//! Composition: everything that a running authority is made of, put together in the order that matters.
//!
//! Folder, lock, database and keys first, because each of them can say no; then the ports; only then is anything
//! written. What is served begins after the record of the start is durable and the hub knows every session.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jeton_feed::record::Record;
use jeton_host::{
    files::{FolderError, FolderLock, LockError, data_folder, lock_folder, write_private},
    serve::{self, BindError, Limits, Listen, Listener},
};
use jeton_store::{AnyStore, CommitObserver, Health, OpenConfig, Sqlite, Store, StoreError};
use jeton_types::{Clock, Entropy, Secret, StartId};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    config::AuthorityConfig,
    core::{Core, Parts, Phase, stopping},
    event::Events,
    feed::{self, HubHandle, HubParts},
    fence::Fence,
    http::{self, once::Running as KeysRunning},
    inflight::Inflight,
    keys::{KeyError, Keyring},
    limit::AddressLimit,
    metric::Metrics,
    space,
    time::{AuthorityClock, AuthorityTime},
    usage::OwnUse,
    witness::Witness,
};

/// The control plane. See [`Authority::start`].
#[derive(Debug)]
pub struct Authority;

/// An authority that serves. [`Running::shutdown`] ends it; dropped without that, it cuts its connections, and its folder
/// is free only once the runtime has ended.
#[derive(Debug)]
pub struct Running {
    /// Where the HTTP API listens.
    pub http_addr: SocketAddr,
    /// Where the feed listens.
    pub feed_addr: SocketAddr,
    /// The file of the root token, if this start wrote it.
    pub root_token: Option<PathBuf>,
    phase: watch::Sender<Phase>,
    health: watch::Receiver<Health>,
    drain: Duration,
    hub: HubHandle,
    listeners: JoinSet<()>,
    own_use: OwnUse,
    store: Arc<AnyStore>,
}

/// Why an authority did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The data folder is in use.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A port cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There is no key to sign receipts with.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no database where there should be one.
    #[error("there is no jeton.db in {}: give the data folder of an authority", path.display())]
    NoDatabase {
        /// The folder.
        path: PathBuf,
    },
    /// A thread could not be waited for.
    #[error("the start was broken off")]
    BrokenOff(#[source] tokio::task::JoinError),
}

/// What kind of failure it is; the binary makes its exit code of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartClass {
    /// Something that whoever starts it can put right: a file, a folder, a port. Exit code 2.
    Usage,
    /// Corruption, or a failure of the machine. Exit code 4.
    Internal,
}

impl StartError {
    /// What kind of failure it is.
    #[must_use]
    pub fn class(&self) -> StartClass {
        if failed_io(self) {
            return StartClass::Internal;
        }
        match self {
            Self::Folder(_) | Self::Lock(_) | Self::Bind(_) | Self::NoDatabase { .. } => StartClass::Usage,
            Self::Keys(KeyError::Sign(_)) => StartClass::Internal,
            Self::Keys(_) => StartClass::Usage,
            // A database that is not there, is another's, or may not be opened; a disk that is full.
            Self::Store(
                StoreError::Foreign(_) | StoreError::Unavailable(_) | StoreError::RootFile(_) | StoreError::Full,
            ) => StartClass::Usage,
            Self::Store(_) | Self::BrokenOff(_) => StartClass::Internal,
        }
    }
}

/// Whether the disk itself failed, whatever was being done.
fn failed_io(error: &(dyn std::error::Error + 'static)) -> bool {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.filter_map(|error| error.downcast_ref::<io::Error>()).any(|error| error.raw_os_error() == Some(EIO))
}

/// `EIO`: an input or output error of the device.
const EIO: i32 = 5;

/// The store stopped writing while the authority ran: the process must end, with exit code 4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store has stopped writing ({0}): start again once the disk is sound")]
pub struct Stopped(pub String);

impl Authority {
    /// Starts an authority: opens its folder, its database, its keys and its ports, and serves.
    ///
    /// The first start ever also makes the namespace `jeton` and writes a root token to [`AuthorityConfig::root_token`].
    ///
    /// # Errors
    /// [`StartError`]; its class says whose turn it is, its text what to do. Nothing is left running.
    pub async fn start(
        config: AuthorityConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Running, StartError> {
        let before = Beginning::new(&clock);
        let opened = tokio::task::spawn_blocking({
            let (config, time) = (config.clone(), before.time.clone());
            let (entropy, witness) = (Arc::clone(&entropy), Arc::clone(&before.witness));
            move || open(&config, time, entropy, witness)
        });
        let opened = opened.await.map_err(StartError::BrokenOff)??;
        before.witness.load(&*opened.store).await?;
        let ports = Ports::open(&config).await?;
        Self::serve(config, before, opened, ports, entropy).await
    }

    /// Starts one over the model of a store instead of a database, for tests: keys and the root token are files as ever, and
    /// all else is what `disk` holds.
    ///
    /// # Errors
    /// As [`Authority::start`].
    #[cfg(feature = "memory")]
    pub async fn start_over(
        disk: &jeton_store::Disk,
        config: AuthorityConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Running, StartError> {
        let ports = Ports::open(&config).await?;
        Self::start_on(disk, config, ports, clock, entropy).await
    }

    /// The same over a network that is given.
    ///
    /// # Errors
    /// As [`Authority::start`].
    #[cfg(feature = "memory")]
    pub async fn start_on(
        disk: &jeton_store::Disk,
        config: AuthorityConfig,
        ports: Ports<impl Listen>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Running, StartError> {
        let before = Beginning::new(&clock);
        // There is no database by which a later start could tell that the folder is its own.
        if !config.data_dir.exists() {
            data_folder(&config.data_dir)?;
        }
        let time = Arc::new(AuthorityClock(before.time.clone()));
        let store = jeton_store::Memory::open(disk, time, Arc::clone(&entropy));
        let keys = Arc::new(Keyring::open(&config.keys_dir(), &*entropy)?);
        let opened = Opened { store: Arc::new(AnyStore::Memory(store)), keys };
        before.witness.load(&*opened.store).await?;
        Self::serve(config, before, opened, ports, entropy).await
    }

    /// Begins to serve what was opened.
    async fn serve(
        config: AuthorityConfig,
        Beginning { time, metrics, events, witness }: Beginning,
        Opened { store, keys }: Opened,
        ports: Ports<impl Listen>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Running, StartError> {
        let Ports { http: http_listener, feed: feed_listener } = ports;
        let behind = time.raise(store.authority_time());
        if behind > Duration::from_secs(1) {
            // Over a minute it is not followed either, and the alarm says so as long as it is.
            tracing::warn!(?behind, "the wall clock is behind the last commit: it was set back, or was wrong then");
        }

        let mut random = [0; 16];
        entropy.fill(&mut random);
        let start = StartId::from_bytes(random);
        let row = store.start_record(start).await?;
        let path = config.root_token();
        let root = store.root_ensure(move |secret| root_write(&path, secret)).await?;
        let inflight = Inflight::new();
        let fence = Fence::new(&config.keys_dir());
        let hub = HubHandle::start(HubParts {
            store: Arc::clone(&store),
            keys: Arc::clone(&keys),
            inflight: inflight.clone(),
            entropy,
            time: time.clone(),
            metrics: Arc::clone(&metrics),
            events: events.clone(),
            witness,
            start,
            fence: fence.clone(),
            succession: config.succession,
            log: config.log,
        })
        .await?;

        let space = space::Watching {
            store: Arc::clone(&store),
            metrics: Arc::clone(&metrics),
            events: events.clone(),
            time: time.clone(),
        };
        let own_use = OwnUse::default();
        let (phase, watched) = watch::channel(Phase::Serving);
        let (http_addr, feed_addr) = (http_listener.address(), feed_listener.address());
        let core = Core::new(Parts {
            store: Arc::clone(&store),
            hub: hub.clone(),
            keys,
            inflight,
            time,
            metrics,
            events,
            burns: AddressLimit::default(),
            own_use: own_use.clone(),
            running: KeysRunning::default(),
            fence,
            phase: watched.clone(),
        });
        let connections_max = config.connections_max;
        let http_limits = Limits { connections_max, ..Limits::http() };
        let feed_limits = Limits { connections_max, ..Limits::feed() };
        let mut listeners = JoinSet::new();
        listeners.spawn(space.run(stopping(watched.clone())));
        listeners.spawn(own_use.clone().run(Arc::clone(&store), stopping(watched.clone())));
        let stop = stopping(watched.clone());
        listeners.spawn(serve::serve(http_listener, http::service(core), http::refuse, http_limits, stop));
        let (feed, stop) = (feed::router(&hub), stopping(watched));
        listeners.spawn(serve::serve(feed_listener, feed, serve::refuse_plain, feed_limits, stop));
        tracing::info!(http = %http_addr, feed = %feed_addr, %start, revision = %row.revision, "authority started");
        Ok(Running {
            http_addr,
            feed_addr,
            root_token: root.map(|_| config.root_token()),
            phase,
            health: store.health(),
            drain: config.drain,
            hub,
            listeners,
            own_use,
            store,
        })
    }
}

impl Running {
    /// Serves until `signal` resolves, then shuts down in good order.
    ///
    /// # Errors
    /// [`Stopped`] if the store stops writing before; nothing that was acknowledged is lost then.
    pub async fn run_until(mut self, signal: impl Future) -> Result<(), Stopped> {
        tokio::select! {
            _ = signal => {
                self.shutdown().await;
                Ok(())
            }
            stopped = stopped(&mut self.health) => {
                tracing::error!(error = %stopped, "authority stops");
                // Nothing new can be promised any more, so there is nothing to go on serving for.
                self.drain = Duration::ZERO;
                self.shutdown().await;
                Err(stopped)
            }
        }
    }

    /// Is not ready any more, serves on for the configured time, finishes what is under way, and gives the folder back.
    pub async fn shutdown(mut self) {
        self.phase.send_replace(Phase::Draining);
        if !self.drain.is_zero() {
            tokio::time::sleep(self.drain).await;
        }
        self.phase.send_replace(Phase::Stopping);
        // The streams of the feed end by this alone; no session does.
        self.hub.shutdown().await;
        while self.listeners.join_next().await.is_some() {}
        self.own_use.hand_in(&self.store).await;
        let Self { hub, store, .. } = self;
        drop(hub);
        // Connections that end by themselves, and reads under way, still hold the store for a moment.
        let ends = tokio::time::Instant::now() + HANDLES_WAIT;
        while Arc::strong_count(&store) > 1 && tokio::time::Instant::now() < ends {
            tokio::time::sleep(HANDLES_POLL).await;
        }
        // The last handle: this waits for the writer, which gives the folder back.
        drop(store);
        tracing::info!("authority stopped");
    }
}

/// How long a stop waits for others to let go of the store, and how often it looks.
const HANDLES_WAIT: std::time::Duration = std::time::Duration::from_secs(5);
const HANDLES_POLL: std::time::Duration = std::time::Duration::from_millis(2);

/// What there is before anything is opened.
struct Beginning {
    time: AuthorityTime,
    metrics: Arc<Metrics>,
    events: Events,
    witness: Arc<Witness>,
}

impl Beginning {
    fn new(clock: &Arc<dyn Clock>) -> Self {
        let (metrics, events) = (Arc::new(Metrics::new()), Events::new());
        let witness = Witness::new(Arc::clone(&metrics), events.clone());
        Self { time: AuthorityTime::new(Arc::clone(clock)), metrics, events, witness }
    }
}

/// Where an authority listens: two ports, or what stands for them.
#[derive(Debug)]
pub struct Ports<L> {
    /// For the HTTP API.
    pub http: L,
    /// For the feed.
    pub feed: L,
}

impl Ports<Listener> {
    async fn open(config: &AuthorityConfig) -> Result<Self, BindError> {
        Ok(Self {
            http: Listener::bind(config.http, "--http", config.plaintext).await?,
            feed: Listener::bind(config.feed, "--feed", config.plaintext).await?,
        })
    }
}

struct Opened {
    store: Arc<AnyStore>,
    keys: Arc<Keyring>,
}

/// Everything that blocks and can say no before a port is open.
fn open(
    config: &AuthorityConfig,
    time: AuthorityTime,
    entropy: Arc<dyn Entropy>,
    witness: Arc<Witness>,
) -> Result<Opened, StartError> {
    data_folder(&config.data_dir)?;
    let lock = lock_folder(&config.data_dir)?;
    emptied(config)?;
    let store = Sqlite::open_reserving(
        &config.data_dir,
        OpenConfig {
            clock: Arc::new(AuthorityClock(time)),
            entropy: Arc::clone(&entropy),
            observer: Arc::new(Committing { witness, _lock: lock }),
        },
        u64::from(config.ballast_mib) << 20,
    )?;
    let keys = Keyring::open(&config.keys_dir(), &*entropy)?;
    Ok(Opened { store: Arc::new(AnyStore::Sqlite(store)), keys: Arc::new(keys) })
}

/// Refuses to begin anew where state has been: a database that has gone missing must not look like a first start, with
/// every token unknown and every revocation forgotten.
fn emptied(config: &AuthorityConfig) -> Result<(), StoreError> {
    let database = Sqlite::path(&config.data_dir);
    if database.metadata().is_ok_and(|facts| facts.len() > 0) {
        return Ok(());
    }
    let traces = [config.root_token(), config.data_dir.join("keys").join("public.json")];
    match traces.iter().find(|trace| trace.is_file()) {
        None => Ok(()),
        Some(trace) => Err(StoreError::Corrupt(format!(
            "{} is missing or empty, yet {} is from an earlier start",
            database.display(),
            trace.display()
        ))),
    }
}

/// What the store's writer holds as long as it lives: so the folder stays locked until nothing can write to it any more,
/// whoever else still has a handle of the store.
struct Committing {
    witness: Arc<Witness>,
    _lock: FolderLock,
}

impl CommitObserver for Committing {
    fn committed(&self, batch_size: usize, took: Duration) {
        self.witness.committed(batch_size, took);
    }

    fn vouch(&self, record: &Record) -> bool {
        self.witness.vouch(record)
    }
}

/// Puts a root token where its owner looks for it.
pub(crate) fn root_write(path: &Path, secret: &Secret<String>) -> io::Result<()> {
    let line = Secret::new(format!("{}\n", secret.expose()));
    write_private(path, line.expose().as_bytes()).map_err(io::Error::other)
}

async fn stopped(health: &mut watch::Receiver<Health>) -> Stopped {
    let why = match health.wait_for(|health| matches!(health, Health::Stopped(_))).await.as_deref() {
        Ok(Health::Stopped(why)) => why.clone(),
        Ok(Health::Writing) | Err(_) => "its writer ended".to_owned(),
    };
    Stopped(why)
}
