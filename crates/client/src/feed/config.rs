//! What a verifier is started with.

use std::{path::PathBuf, sync::Arc};

use jeton_host::{
    clock::{OsEntropy, SystemClock},
    files::{FileError, StateError},
};
use jeton_types::{Clock, Entropy, NamespaceName, Secret, VerifierName, limits::SESSION_NAMESPACES_MAX};

use super::{
    dial::{Dial, Road},
    link,
    observe::{Observe, Unobserved},
    state::State,
    token::{TokenFile, TokenSource},
};

/// What a verifier is started with.
#[derive(Clone)]
pub struct VerifierConfig {
    /// Where the authority's feed is, such as `http://127.0.0.1:7401`.
    pub url: String,
    /// The token with which the verifier presents itself; it must hold `verifier@NS` for each namespace.
    pub token: TokenSource,
    /// Its name in receipts, usually the host's.
    pub name: VerifierName,
    /// The namespaces that it serves.
    pub namespaces: Vec<NamespaceName>,
    /// Its state folder, which one process at a time can hold. With it a process that comes in the place of another ends
    /// that one's session at once, where silence would take the lease and grace (`feed-protocol.md` 27).
    pub state_dir: Option<PathBuf>,
    /// Where it takes its time from.
    pub clock: Arc<dyn Clock>,
    /// Where it takes its session's id from.
    pub entropy: Arc<dyn Entropy>,
    /// Who counts.
    pub observe: Arc<dyn Observe>,
    /// How connections come about where it is not over TCP.
    pub dial: Option<Arc<dyn Dial>>,
}

/// Why a verifier could not be started. Nothing of this passes by itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The URL is not one that can be called.
    #[error("`{url}` is no URL of an authority's feed: {why}; it looks like http://127.0.0.1:7401")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The token file cannot be read.
    #[error(transparent)]
    Token(#[from] FileError),
    /// The state folder is in use, or cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The namespaces cannot be served together.
    #[error("{0}")]
    Namespaces(String),
    /// The name is the authority's own.
    #[error("`authority` is the authority's own name in receipts: choose another for this verifier")]
    Name,
    /// There is no tokio runtime to run on.
    #[error("a verifier is started inside a tokio runtime")]
    Runtime,
}

impl VerifierConfig {
    /// A verifier on this machine's clocks and randomness, of which nothing is counted.
    #[must_use]
    pub fn new(url: impl Into<String>, token: TokenSource, name: VerifierName, namespaces: Vec<NamespaceName>) -> Self {
        Self {
            url: url.into(),
            token,
            name,
            namespaces,
            state_dir: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            observe: Arc::new(Unobserved),
            dial: None,
        }
    }

    /// What can be wrong is found here, before anything runs. Reads the token file, and takes the state folder.
    pub(super) fn check(&self) -> Result<Checked, StartError> {
        let url = |why: String| StartError::Url { url: crate::url::shown(&self.url), why };
        crate::url::split_url(&self.url).map_err(|why| url(why.to_owned()))?;
        let endpoint = link::endpoint(&self.url).map_err(|error| url(error.to_string()))?;
        let road = Road { endpoint, dial: self.dial.clone() };
        namespaces_check(&self.namespaces).map_err(StartError::Namespaces)?;
        if self.name.is_authority() {
            return Err(StartError::Name);
        }
        let (token_file, token) = match &self.token {
            TokenSource::File(path) => {
                let (file, token) = TokenFile::open(path)?;
                (Some(file), token)
            }
            TokenSource::Held(token) => (None, token.clone()),
        };
        let state = self.state_dir.as_deref().map(State::open).transpose()?;
        Ok(Checked { road, token_file, token, state })
    }
}

pub(super) struct Checked {
    pub(super) road: Road,
    pub(super) token_file: Option<TokenFile>,
    pub(super) token: Secret<String>,
    pub(super) state: Option<State>,
}

fn namespaces_check(namespaces: &[NamespaceName]) -> Result<(), String> {
    if namespaces.is_empty() || namespaces.len() > SESSION_NAMESPACES_MAX {
        return Err(format!("a verifier serves 1 to {SESSION_NAMESPACES_MAX} namespaces"));
    }
    if namespaces.iter().any(NamespaceName::is_built_in) {
        return Err("the namespace `jeton` is verified by the authority alone".to_owned());
    }
    let mut sorted: Vec<&NamespaceName> = namespaces.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("the namespace `{}` is named twice", pair[0])),
        None => Ok(()),
    }
}
