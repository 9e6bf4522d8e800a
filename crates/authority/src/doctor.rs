//! What is put right offline, with the folder locked so that no authority runs on it.

use std::{path::PathBuf, sync::Arc};

use jeton_host::files::{FolderLock, lock_folder};
use jeton_store::{CommitObserver, OpenConfig, Sqlite, Store};
use jeton_types::{Clock, CredentialName, Entropy, Revision, RevocationId, StartId};

use crate::{
    config::AuthorityConfig,
    start::{StartError, root_write},
    time::{AuthorityClock, AuthorityTime},
};

/// A root token that was replaced.
#[derive(Debug)]
pub struct RootReplaced {
    /// The file that holds the new one.
    pub root_token: PathBuf,
    /// The name of its credential in namespace `jeton`.
    pub credential: CredentialName,
    /// What ended those before it, if there were any. Its receipt is completed by the next start.
    pub revocation: Option<RevocationId>,
    /// The revision of all this.
    pub revision: Revision,
}

/// Replaces a root token that was lost: the new one is in [`AuthorityConfig::root_token`], every earlier one has ended,
/// and the audit trail says so. Who may write to the data folder may do this; it needs no token.
///
/// # Errors
/// [`StartError`], as a start would say it.
pub async fn root_token(
    config: &AuthorityConfig,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<RootReplaced, StartError> {
    let data_dir = config.data_dir.clone();
    let opened = tokio::task::spawn_blocking({
        let entropy = Arc::clone(&entropy);
        move || open(&data_dir, clock, entropy)
    });
    let store = opened.await.map_err(StartError::BrokenOff)??;
    let mut random = [0; 16];
    entropy.fill(&mut random);
    store.start_record(StartId::from_bytes(random)).await?;
    let root_token = config.root_token();
    let path = root_token.clone();
    let replaced = store.root_replace(move |secret| root_write(&path, secret)).await?;
    Ok(RootReplaced {
        root_token,
        credential: replaced.credential.name,
        revocation: replaced.revocation.map(|revocation| revocation.id),
        revision: replaced.token.birth,
    })
}

fn open(data_dir: &std::path::Path, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Sqlite, StartError> {
    // Looked at before the lock file is made: a mistyped path must not become a folder of ours.
    if !data_dir.join("jeton.db").is_file() {
        return Err(StartError::NoDatabase { path: data_dir.to_owned() });
    }
    let lock = lock_folder(data_dir)?;
    let clock = Arc::new(AuthorityClock(AuthorityTime::new(clock)));
    Ok(Sqlite::open(data_dir, OpenConfig { clock, entropy, observer: Arc::new(Holding { _lock: lock }) })?)
}

/// What the store's writer holds as long as it lives, so that the folder stays locked until nothing can write to it.
struct Holding {
    _lock: FolderLock,
}

impl CommitObserver for Holding {
    fn committed(&self, _: usize, _: std::time::Duration) {}
}
