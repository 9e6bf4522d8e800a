//! What an authority is told when it starts.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Where an authority keeps its state and where it listens.
#[derive(Debug, Clone)]
pub struct AuthorityConfig {
    /// The folder of the database, the root token and the lock. Made if it is not there.
    pub data_dir: PathBuf,
    /// The folder of the signing keys; `keys/` in the data folder unless given.
    pub keys_dir: Option<PathBuf>,
    /// The file that a new root token is written to; `root.token` in the data folder unless given.
    pub root_token_file: Option<PathBuf>,
    /// Where the HTTP API listens.
    pub http: SocketAddr,
    /// Where the feed listens.
    pub feed: SocketAddr,
    /// Whether to listen beyond loopback although there is no TLS yet.
    pub plaintext: bool,
    /// How long a shutdown goes on serving, not ready any more, before it stops to listen.
    pub drain: Duration,
    /// Open connections of each listener, at most.
    pub connections_max: usize,
    /// What is held back of the disk so that tokens can be revoked when it is full, in MiB.
    pub ballast_mib: u32,
    /// How much of the record log is kept.
    pub log: LogKept,
    /// Whether a verifier process may end the sessions of the one before it in the same state folder. To be switched off
    /// where a boot id does not name one kernel, or a lock on a folder does not exclude.
    pub succession: bool,
}

/// How much of the record log is kept: what both of these keep. Whoever is behind it gets a snapshot (`feed-protocol.md` 28).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogKept {
    /// Records older than this go.
    pub age_max: Duration,
    /// Of more records than this the oldest go.
    pub records_max: u64,
}

impl LogKept {
    /// How old a record gets, unless told otherwise.
    pub const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
    /// The shortest age that may be asked for.
    pub const AGE_MIN: Duration = Duration::from_secs(60);
    /// How many records are kept, unless told otherwise: some hundred MiB.
    pub const RECORDS_MAX: u64 = 1_000_000;
    /// The fewest that may be asked for: whoever takes a snapshot must find what comes after it.
    pub const RECORDS_MIN: u64 = 1_000;
}

impl Default for LogKept {
    fn default() -> Self {
        Self { age_max: Self::AGE_MAX, records_max: Self::RECORDS_MAX }
    }
}

impl AuthorityConfig {
    /// The port of the HTTP API unless another is given.
    pub const HTTP_PORT: u16 = 7400;
    /// The port of the feed unless another is given.
    pub const FEED_PORT: u16 = 7401;
    /// Open connections of one listener, unless told otherwise.
    pub const CONNECTIONS_MAX: usize = 10_000;
    /// What is held back of the disk, unless told otherwise: some thousand revocations.
    pub const BALLAST_MIB: u32 = 32;

    /// Everything as it is unless told otherwise, over this data folder.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            data_dir: data_dir.into(),
            keys_dir: None,
            root_token_file: None,
            http: SocketAddr::new(loopback, Self::HTTP_PORT),
            feed: SocketAddr::new(loopback, Self::FEED_PORT),
            plaintext: false,
            drain: Duration::ZERO,
            connections_max: Self::CONNECTIONS_MAX,
            ballast_mib: Self::BALLAST_MIB,
            log: LogKept::default(),
            succession: true,
        }
    }

    /// The folder of the signing keys.
    #[must_use]
    pub fn keys_dir(&self) -> PathBuf {
        self.keys_dir.clone().unwrap_or_else(|| self.data_dir.join("keys"))
    }

    /// The file that the first start writes the root token to.
    #[must_use]
    pub fn root_token(&self) -> PathBuf {
        self.root_token_file.clone().unwrap_or_else(|| root_token(&self.data_dir))
    }
}

/// The file of the root token in a data folder, unless another is named.
#[must_use]
pub fn root_token(data_dir: &Path) -> PathBuf {
    data_dir.join("root.token")
}
