//! A client of one authority.

mod audit;
mod change;
mod credential;
mod event;
mod namespace;
mod pace;
mod page;
mod revocation;
mod verify;

use std::{fmt, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use jeton_api::{key::JwkSet, verifier::VerifierView};
use jeton_host::clock::OsEntropy;
use jeton_types::{Entropy, Secret};
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    change::Change,
    event::{EventStream, Follow, Followed, ServerEvent, Told},
    pace::{Pace, TokioPace},
    page::Pages,
};
use crate::{
    error::{Error, SetupError},
    key::IdempotencyKey,
    retry::{Failed, Manner, Pauses, Retry},
    token::{Bearer, TokenFrom},
    transport::{Outgoing, Transport},
    url::Target,
};

/// Where an authority is unless told otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:7400";

/// A client of one authority's HTTP API; of a sidecar's, for [`Client::verify`]. Cheap to clone; clones share their
/// connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    deadline: Duration,
    try_timeout: Duration,
    retry: Retry,
}

struct Shared {
    transport: Transport,
    entropy: Arc<dyn Entropy>,
    pace: Arc<dyn Pace>,
}

/// What a [`Client`] is made from.
#[must_use]
pub struct Builder {
    url: String,
    token: TokenFrom,
    connect_timeout: Duration,
    try_timeout: Duration,
    deadline: Duration,
    retry: Retry,
    entropy: Arc<dyn Entropy>,
    pace: Arc<dyn Pace>,
}

impl Builder {
    /// Speaks with this token of the namespace `jeton`.
    pub fn token(self, token: Secret<String>) -> Self {
        Self { token: TokenFrom::Given(token), ..self }
    }

    /// Speaks with the token in this file, which only its owner may read. When the authority does not know the token any
    /// more, the file is read again, so that the token can be rotated under a running program.
    pub fn token_file(self, file: impl AsRef<Path>) -> Self {
        Self { token: TokenFrom::File(file.as_ref().to_owned()), ..self }
    }

    /// Speaks with the token in the file that `JETON_TOKEN_FILE` names, or else with the one that `JETON_TOKEN` holds.
    pub fn token_from_env(self) -> Self {
        Self { token: TokenFrom::Environment, ..self }
    }

    /// How long a connection may take to come about: 5 s if not said.
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// How long one try may take before it counts as broken: 10 s if not said. What a call itself asks the authority to
    /// wait for comes on top.
    pub fn try_timeout(self, try_timeout: Duration) -> Self {
        Self { try_timeout, ..self }
    }

    /// How long a call may take with all its tries: 30 s if not said. What the call itself asks the authority to wait for
    /// comes on top.
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// How often a call is tried.
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Where idempotency keys and the random part of a pause come from.
    pub fn entropy(self, entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, ..self }
    }

    /// Where the time of deadlines and pauses comes from.
    pub fn pace(self, pace: Arc<dyn Pace>) -> Self {
        Self { pace, ..self }
    }

    /// The client. Reads the token; nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError`] if the URL or the token cannot be used.
    pub fn build(self) -> Result<Client, SetupError> {
        let transport = Transport::new(&self.url, Bearer::read(self.token)?, self.connect_timeout)?;
        Ok(Client {
            shared: Arc::new(Shared { transport, entropy: self.entropy, pace: self.pace }),
            deadline: self.deadline,
            try_timeout: self.try_timeout,
            retry: self.retry,
        })
    }
}

impl Client {
    /// A client of the API at `url`, such as [`DEFAULT_URL`]. Without a token it can do what is open to everybody: burn,
    /// read the public keys, ask a sidecar.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder {
            url: url.into(),
            token: TokenFrom::Nowhere,
            connect_timeout: Duration::from_secs(5),
            try_timeout: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
            retry: Retry::DEFAULT,
            entropy: Arc::new(OsEntropy),
            pace: Arc::new(TokioPace::default()),
        }
    }

    /// What the environment says: `JETON_URL` or [`DEFAULT_URL`], `JETON_TOKEN_FILE` or `JETON_TOKEN`.
    ///
    /// # Errors
    /// [`SetupError`] if the URL or the token cannot be used.
    pub fn from_env() -> Result<Self, SetupError> {
        let url = std::env::var("JETON_URL").ok().filter(|url| !url.is_empty());
        Self::builder(url.unwrap_or_else(|| DEFAULT_URL.to_owned())).token_from_env().build()
    }

    /// The same client, whose calls may take so long with all their tries.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The same client with other tries.
    #[must_use]
    pub fn with_retry(&self, retry: Retry) -> Self {
        Self { retry, ..self.clone() }
    }

    /// The URL that is called, as one would type it.
    #[must_use]
    pub fn url(&self) -> String {
        self.shared.transport.url()
    }

    /// Whether the other side says that it can answer. Tried once.
    pub async fn ready(&self) -> bool {
        let mut outgoing = Outgoing::new(Method::GET, Target::new("/readyz"));
        outgoing.accept = "*/*";
        let once = self.with_retry(Retry::NEVER);
        once.call(&outgoing, Manner::Read, Duration::ZERO).await.is_ok()
    }

    /// The authority's public keys, past ones too. Needs no token.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn keys(&self) -> Result<JwkSet, Error> {
        self.get(Target::new("/.well-known/jwks.json")).await
    }

    /// The verifiers: who serves what, how far behind, and until when.
    pub fn verifiers(&self) -> Pages<VerifierView> {
        Pages::new(self, Target::new("/v1/verifiers"), None)
    }

    fn random_key(&self) -> IdempotencyKey {
        IdempotencyKey::random(&*self.shared.entropy)
    }

    async fn get<T: DeserializeOwned>(&self, target: Target) -> Result<T, Error> {
        let outgoing = Outgoing::new(Method::GET, target);
        json(&self.call(&outgoing, Manner::Read, Duration::ZERO).await?)
    }

    async fn ask<B: Serialize, T: DeserializeOwned>(&self, target: Target, body: &B, how: Manner) -> Result<T, Error> {
        let mut outgoing = Outgoing::new(Method::POST, target);
        outgoing.body = Some(line(body)?);
        json(&self.call(&outgoing, how, Duration::ZERO).await?)
    }

    /// A whole answer within the deadline, which `wait` prolongs: so long the authority was asked to wait.
    async fn call(&self, outgoing: &Outgoing, manner: Manner, wait: Duration) -> Result<Bytes, Error> {
        let Shared { transport, entropy, pace } = &*self.shared;
        let began = pace.elapsed();
        let deadline = self.deadline.saturating_add(wait);
        let left = || deadline.saturating_sub(pace.elapsed().saturating_sub(began));
        let mut pauses = Pauses::new(self.retry, manner);
        let (mut may_be_done, mut renewed) = (false, false);
        loop {
            let patience = left().min(self.try_timeout.saturating_add(wait));
            let failed = match tokio::time::timeout(patience, transport.exchange(outgoing)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failed)) => failed,
                Err(_) => Failed::Broken(format!("no answer from {} within {patience:?}", self.url())),
            };
            may_be_done |= failed.may_be_done();
            if !renewed && unauthenticated(&failed) && self.renew().await {
                renewed = true;
                continue;
            }
            match pauses.next(&failed, left(), random(&**entropy)) {
                Some(pause) => pace.pause(pause).await,
                None if manner == Manner::Change && may_be_done && !failed.settles() => {
                    let cause = Box::new(failed.into());
                    return Err(match outgoing.key.clone() {
                        Some(key) => Error::Unsettled { key, cause },
                        None => *cause,
                    });
                }
                None => return Err(failed.into()),
            }
        }
    }

    /// Looks whether the token's file holds another one by now.
    async fn renew(&self) -> bool {
        if !self.shared.transport.bearer().is_renewable() {
            return false;
        }
        let shared = Arc::clone(&self.shared);
        // A file system that hangs must not hang the runtime.
        tokio::task::spawn_blocking(move || shared.transport.bearer().renewed()).await.unwrap_or(false)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url()).finish_non_exhaustive()
    }
}

fn unauthenticated(failed: &Failed) -> bool {
    matches!(failed, Failed::Problem { problem, .. } if problem.status == 401)
}

fn random(entropy: &dyn Entropy) -> u64 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn line<B: Serialize + ?Sized>(body: &B) -> Result<Bytes, Error> {
    serde_json::to_vec(body).map(Into::into).map_err(|error| Error::Usage(format!("the request: {error}")))
}

fn json<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Error> {
    // What is wrong with an answer may be told in words of the answer, and a secret may be among them.
    let redacted = |error: serde_json::Error| jeton_types::token::redact(&error.to_string()).into_owned();
    serde_json::from_slice(answer)
        .map_err(|error| Error::Bad(format!("the answer is not what was asked for: {}", redacted(error))))
}
