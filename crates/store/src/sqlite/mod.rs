//! The embedded store: one SQLite file with a write-ahead log in the data folder.

mod access;
mod ballast;
mod change;
mod collection;
mod credential;
mod ending;
mod enforced;
mod lookups;
mod namespace;
mod once;
mod open;
mod readers;
mod record;
mod revocation;
mod room;
mod row;
mod select;
mod session;
mod snapshot;
mod start;
#[cfg(test)]
mod tests;
mod token;
mod trail;
mod tx;
mod usage;
mod writer;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
    time::Duration,
};

use jeton_feed::{
    record::{Head, Record},
    rollback::HeadKnown,
    usage::Report,
};
use jeton_lifecycle::audit;
use jeton_types::{
    Clock, CredentialId, Digest, Entropy, NamespaceName, Revision, RevocationId, Secret, SessionId, Span, StartId,
    TokenId, UnixTime,
};
use tokio::sync::{oneshot, watch};

pub use self::room::Space;
use self::{
    ballast::Ballast,
    lookups::Lookups,
    readers::Readers,
    room::{Need, Room},
    row::sql,
    tx::Tx,
    writer::{Job, Queue, Writer},
};
use crate::{
    CommitLog, Health, SnapshotSink, Store, StoreError,
    authority_time::AuthorityTime,
    idempotency::{Claim, Keep},
    model::{
        Burn, Caller, CredentialDelete, CredentialFilter, CredentialPatch, CredentialRef, CredentialRow, IssueNew,
        Issued, NamespaceNew, NamespacePatch, NamespaceRow, Patched, PolicyRow, RecordsCut, Retention, RevocationRow,
        RevokeNew, RevokePreview, Revoked, RootReplaced, Rotated, SessionEndKind, SessionRow, SetHashRow, StartRow,
        StoredReceipt, TokenRow, TokensCollected, UsageFrom, UsageRow, UsageTaken,
    },
};

/// Who is told of each commit, for measuring. Called by the writer, so it must be quick.
pub trait CommitObserver: Send + Sync + 'static {
    /// A commit of `batch_size` mutations took this long, from the first of them to durable.
    fn committed(&self, batch_size: usize, took: Duration);

    /// Whether the set hash of a record that is durable now may be published: whoever keeps the rows a second time says no
    /// when they add up to something else (`feed-protocol.md` 24). Called for each record, in order, before anybody is told.
    fn vouch(&self, record: &Record) -> bool {
        let _ = record;
        true
    }
}

impl<F: Fn(usize, Duration) + Send + Sync + 'static> CommitObserver for F {
    fn committed(&self, batch_size: usize, took: Duration) {
        self(batch_size, took);
    }
}

/// What a store is opened with.
#[derive(Clone)]
pub struct OpenConfig {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where ids and secrets come from.
    pub entropy: Arc<dyn Entropy>,
    /// Who is told of commits.
    pub observer: Arc<dyn CommitObserver>,
}

impl fmt::Debug for OpenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenConfig").finish_non_exhaustive()
    }
}

/// The embedded store. A handle: clones share it, and the last one to go waits for the writer to finish.
#[derive(Debug, Clone)]
pub struct Sqlite {
    inner: Arc<Inner>,
    claim: Option<Arc<Claim>>,
}

struct Inner {
    time: Arc<AuthorityTime>,
    commit_log: Arc<CommitLog>,
    /// Why nothing is written any more.
    fence: Arc<OnceLock<String>>,
    health: watch::Receiver<Health>,
    space: watch::Receiver<Space>,
    readers: Readers,
    lookups: Lookups,
    queue: Option<Queue>,
    writer: Option<JoinHandle<()>>,
}

impl Sqlite {
    /// The database in a data folder.
    #[must_use]
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(open::FILE)
    }

    /// Opens `jeton.db` in `dir`, which must exist, and makes it if it is not there. Blocks: it reads the whole file once.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] for a database that is not Jeton's or of a later version, [`StoreError::Corrupt`] for one
    /// that contradicts itself, [`StoreError::Unavailable`] for one that cannot be opened or written,
    /// [`StoreError::Stopped`] if the disk fails.
    pub fn open(dir: &Path, config: OpenConfig) -> Result<Self, StoreError> {
        Self::open_with(dir, config, Room::new(None))
    }

    /// The same, with this much of the disk held back so that authority can be ended when it is full. What is there
    /// already is used for the opening itself, should that find no room.
    ///
    /// # Errors
    /// As [`Self::open`]; a disk too full to hold anything back is no error, and told by [`Self::space`].
    pub fn open_reserving(dir: &Path, config: OpenConfig, ballast_bytes: u64) -> Result<Self, StoreError> {
        let ballast = Ballast::open(dir, ballast_bytes).map_err(|error| {
            StoreError::Unavailable(format!("cannot open the ballast in {}: {error}", dir.display()))
        })?;
        Self::open_with(dir, config, Room::new(Some(ballast)))
    }

    fn open_with(dir: &Path, config: OpenConfig, mut room: Room) -> Result<Self, StoreError> {
        let path = Self::path(dir);
        let conn = loop {
            match open::open(&path) {
                Err(StoreError::Full) if room.release() => {}
                opened => break opened?,
            }
        };
        let (head, authority_time) = open::counter(&conn)?;
        let readers = Readers::open(&path)?;
        room.begin();
        let space = room.watch();
        let time = Arc::new(AuthorityTime::new(Arc::clone(&config.clock)));
        time.raise(authority_time);
        let commit_log = Arc::new(CommitLog::new(head));
        let fence = Arc::new(OnceLock::new());
        let (health_sender, health) = watch::channel(Health::Writing);
        let writer = Writer {
            path,
            conn,
            time: Arc::clone(&time),
            entropy: config.entropy,
            commit_log: Arc::clone(&commit_log),
            fence: Arc::clone(&fence),
            observer: config.observer,
            health: health_sender,
            room,
        };
        let (queue, thread) = writer
            .spawn()
            .map_err(|error| StoreError::Unavailable(format!("cannot start the writer's thread: {error}")))?;
        let inner = Inner {
            time,
            commit_log,
            fence,
            health,
            space,
            readers,
            lookups: Lookups::default(),
            queue: Some(queue),
            writer: Some(thread),
        };
        Ok(Self { inner: Arc::new(inner), claim: None })
    }

    /// What is known of the room on the disk.
    #[must_use]
    pub fn space(&self) -> watch::Receiver<Space> {
        self.inner.space.clone()
    }

    /// Has the writer look, now, whether a disk that was full has room again; [`Self::space`] says it.
    ///
    /// # Errors
    /// [`StoreError::Full`] if it has not.
    pub async fn space_check(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.hand_in(writer::job(work)).await
    }

    /// A mutation that may have some of the ballast when the disk is full; `work` is called again then.
    async fn write_needing<T: Send + 'static>(
        &self,
        need: Need,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.hand_in(writer::job_again(need, work)).await
    }

    async fn hand_in<T>(
        &self,
        (job, answer): (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>),
    ) -> Result<T, StoreError> {
        let Some(queue) = &self.inner.queue else { return Err(self.stopped()) };
        queue.send(job).await.map_err(|_| self.stopped())?;
        // A writer that dies with the mutation in hand leaves it open whether it was committed.
        answer.await.unwrap_or(Err(StoreError::Unknown))
    }

    /// A mutation on behalf of a caller, once if a key is claimed.
    async fn write_once<T: Keep + Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let claim = self.claim.clone();
        self.write(move |tx| once::once(tx, caller, claim.as_deref(), work)).await
    }

    /// The same for one that may have some of the ballast.
    async fn write_once_needing<T: Keep + Send + 'static>(
        &self,
        need: Need,
        caller: Caller,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let claim = self.claim.clone();
        self.write_needing(need, move |tx| once::once(tx, caller, claim.as_deref(), &mut work)).await
    }

    fn stopped(&self) -> StoreError {
        match &*self.inner.health.borrow() {
            Health::Stopped(why) => StoreError::Stopped(why.clone()),
            Health::Writing => StoreError::Unavailable("the store is closing".to_owned()),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.seen(self.inner.readers.read(work).await).await
    }

    /// A database that contradicts itself is not written any more, whoever found out.
    async fn seen<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Corrupt(why)) = &read {
            let why = why.clone();
            let _ = self.write::<()>(move |_| Err(StoreError::Corrupt(why))).await;
        }
        read
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != thread::current().id()
        {
            // What was queued is still done; the folder is free once this returns. A panic was told by `health`.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("readers", &self.readers).finish_non_exhaustive()
    }
}

impl Store for Sqlite {
    fn claimed(&self, claim: Claim) -> Self {
        Self { inner: Arc::clone(&self.inner), claim: Some(Arc::new(claim)) }
    }

    fn commit_log(&self) -> &Arc<CommitLog> {
        &self.inner.commit_log
    }

    fn authority_time(&self) -> UnixTime {
        self.inner.time.now()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health.clone()
    }

    fn fence(&self, why: String) {
        // The first finding counts.
        let _ = self.inner.fence.set(why);
    }

    async fn start_record(&self, start: StartId) -> Result<StartRow, StoreError> {
        self.write_needing(Need::Always, move |tx| start::record(tx, start)).await
    }

    async fn root_ensure(
        &self,
        write: impl FnOnce(&Secret<String>) -> io::Result<()> + Send + 'static,
    ) -> Result<Option<TokenRow>, StoreError> {
        let done = self.write(move |tx| start::root_ensure(tx, write)).await;
        // A full disk refuses to begin; where there is nothing to do that is no failure. Looked at afterwards, so that it keeps
        // its place among mutations that are asked for at once.
        if done == Err(StoreError::Full) && self.read(start::root_is_there).await? {
            return Ok(None);
        }
        done
    }

    async fn root_replace(
        &self,
        write: impl FnOnce(&Secret<String>) -> io::Result<()> + Send + 'static,
    ) -> Result<RootReplaced, StoreError> {
        self.write(move |tx| start::root_replace(tx, write)).await
    }

    async fn namespace_create(&self, caller: Caller, new: NamespaceNew) -> Result<NamespaceRow, StoreError> {
        self.write_once(caller, move |tx| namespace::create(tx, caller, new)).await
    }

    async fn namespace_patch(
        &self,
        caller: Caller,
        namespace: NamespaceName,
        patch: NamespacePatch,
    ) -> Result<Patched<NamespaceRow>, StoreError> {
        self.write_once_needing(Need::Ballast, caller, move |tx| {
            change::namespace_patch(tx, caller, &namespace, patch.clone())
        })
        .await
    }

    async fn credential_patch(
        &self,
        caller: Caller,
        credential: CredentialId,
        patch: CredentialPatch,
    ) -> Result<Patched<CredentialRow>, StoreError> {
        self.write_once_needing(Need::Ballast, caller, move |tx| {
            change::credential_patch(tx, caller, credential, patch.clone())
        })
        .await
    }

    async fn credential_delete(
        &self,
        caller: Caller,
        credential: CredentialId,
        delete: CredentialDelete,
    ) -> Result<Patched<CredentialRow>, StoreError> {
        self.write_once_needing(Need::Always, caller, move |tx| {
            change::credential_delete(tx, caller, credential, delete.clone())
        })
        .await
    }

    async fn token_burn(&self, burn: Burn) -> Result<Option<Revoked>, StoreError> {
        self.write_needing(Need::Always, move |tx| revocation::burn(tx, &burn)).await
    }

    async fn revocation_preview(&self, caller: Caller, new: RevokeNew) -> Result<RevokePreview, StoreError> {
        let now = self.inner.time.now();
        self.read(move |conn| revocation::preview(conn, caller, now, &new)).await
    }

    async fn credential_issue(&self, caller: Caller, new: IssueNew) -> Result<Issued, StoreError> {
        self.write_once(caller, move |tx| credential::issue(tx, caller, new)).await
    }

    async fn credential_rotate(
        &self,
        caller: Caller,
        credential: CredentialRef,
        overlap: Span,
    ) -> Result<Rotated, StoreError> {
        self.write_once(caller, move |tx| credential::rotate(tx, caller, &credential, overlap)).await
    }

    async fn revocation_create(&self, caller: Caller, new: RevokeNew) -> Result<Revoked, StoreError> {
        self.write_once_needing(Need::Always, caller, move |tx| revocation::create(tx, caller, new.clone())).await
    }

    async fn receipt_store(
        &self,
        revocation: RevocationId,
        receipt: StoredReceipt,
    ) -> Result<StoredReceipt, StoreError> {
        self.write_needing(Need::Always, move |tx| revocation::receipt_store(tx, revocation, &receipt)).await
    }

    async fn session_open(&self, session: SessionRow) -> Result<SessionRow, StoreError> {
        self.write_needing(Need::Half, move |tx| session::open(tx, &session)).await
    }

    async fn session_end(&self, session: SessionId, kind: SessionEndKind, at: UnixTime) -> Result<(), StoreError> {
        self.write_needing(Need::Always, move |tx| session::end(tx, session, kind, at)).await
    }

    async fn session_forget(&self, session: SessionId) -> Result<(), StoreError> {
        self.write_needing(Need::Always, move |tx| session::end(tx, session, SessionEndKind::Forgotten, tx.now())).await
    }

    async fn sessions_prune(&self, before: UnixTime) -> Result<usize, StoreError> {
        self.write(move |tx| session::prune(tx, before)).await
    }

    async fn records_cut(&self, keep: Retention) -> Result<RecordsCut, StoreError> {
        self.write(move |tx| record::cut(tx, keep)).await
    }

    async fn tokens_collect(
        &self,
        namespace: NamespaceName,
        expired: UnixTime,
    ) -> Result<Option<TokensCollected>, StoreError> {
        self.write(move |tx| collection::collect(tx, &namespace, expired)).await
    }

    async fn usage_report(&self, from: UsageFrom, report: Report) -> Result<UsageTaken, StoreError> {
        self.write(move |tx| usage::report(tx, &from, &report)).await
    }

    async fn namespace(&self, name: NamespaceName) -> Result<Option<NamespaceRow>, StoreError> {
        self.read(move |conn| namespace::find(conn, &name)).await
    }

    async fn namespaces(&self) -> Result<Vec<NamespaceRow>, StoreError> {
        self.read(|conn| Ok(row::all(conn, sql!("namespace/list"), [], row::namespace_row)?)).await
    }

    async fn credential(&self, credential: CredentialRef) -> Result<Option<CredentialRow>, StoreError> {
        self.read(move |conn| credential::find(conn, &credential)).await
    }

    async fn credentials(
        &self,
        namespace: NamespaceName,
        filter: CredentialFilter,
        after: Option<CredentialId>,
        limit: usize,
    ) -> Result<Vec<CredentialRow>, StoreError> {
        self.read(move |conn| credential::list(conn, &namespace, &filter, after, limit)).await
    }

    async fn tokens(&self, credential: CredentialId) -> Result<Vec<TokenRow>, StoreError> {
        self.read(move |conn| token::list(conn, credential)).await
    }

    async fn usages(&self, credential: CredentialId) -> Result<Vec<UsageRow>, StoreError> {
        self.read(move |conn| usage::list(conn, credential)).await
    }

    async fn token(&self, token: TokenId) -> Result<Option<TokenRow>, StoreError> {
        self.read(move |conn| token::find(conn, token)).await
    }

    async fn token_by_digest(&self, digest: Digest) -> Result<Option<(TokenRow, CredentialRow)>, StoreError> {
        self.seen(self.inner.lookups.find(&self.inner.readers, digest).await).await
    }

    async fn revocation(&self, revocation: RevocationId) -> Result<Option<RevocationRow>, StoreError> {
        self.read(move |conn| revocation::find(conn, revocation)).await
    }

    async fn revocations(&self, after: Option<RevocationId>, limit: usize) -> Result<Vec<RevocationRow>, StoreError> {
        self.read(move |conn| revocation::list(conn, after, limit)).await
    }

    async fn revocation_of_token(&self, token: TokenId) -> Result<Option<RevocationRow>, StoreError> {
        self.read(move |conn| revocation::find_by_token(conn, token)).await
    }

    async fn revocations_pending(&self) -> Result<Vec<RevocationRow>, StoreError> {
        self.read(|conn| Ok(row::all(conn, sql!("revocation/list_pending"), [], row::revocation_row)?)).await
    }

    async fn session(&self, session: SessionId) -> Result<Option<SessionRow>, StoreError> {
        self.read(move |conn| session::find(conn, session)).await
    }

    async fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        self.read(|conn| Ok(row::all(conn, sql!("session/list"), [], row::session_row)?)).await
    }

    async fn policies(&self) -> Result<Vec<PolicyRow>, StoreError> {
        self.read(|conn| Ok(row::all(conn, sql!("policy/list"), [], row::policy_row)?)).await
    }

    async fn floors(&self) -> Result<Vec<(NamespaceName, Revision)>, StoreError> {
        self.read(|conn| Ok(row::all(conn, sql!("namespace/floor_list"), [], row::namespace_mark)?)).await
    }

    async fn last_records(&self) -> Result<Vec<(NamespaceName, Revision)>, StoreError> {
        self.read(|conn| Ok(row::all(conn, sql!("namespace/last_record_list"), [], row::namespace_mark)?)).await
    }

    async fn set_hashes(&self) -> Result<Vec<SetHashRow>, StoreError> {
        self.read(enforced::set_hashes).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(|conn| Ok(open::counter(conn)?.0)).await
    }

    async fn head_known(&self, start: StartId, revision: Revision) -> Result<HeadKnown, StoreError> {
        self.read(move |conn| start::head_known(conn, start, revision)).await
    }

    async fn record(&self, revision: Revision) -> Result<Option<Record>, StoreError> {
        self.read(move |conn| record::find(conn, revision)).await
    }

    async fn records(&self, after: Revision, upto: Revision, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.read(move |conn| record::list(conn, after, upto, limit)).await
    }

    async fn audit_list(
        &self,
        namespace: Option<NamespaceName>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<audit::Link>, StoreError> {
        self.read(move |conn| trail::list(conn, namespace.as_ref(), after, limit)).await
    }

    async fn audit_head(&self) -> Result<audit::Head, StoreError> {
        self.read(trail::head).await
    }

    async fn snapshot(
        &self,
        namespaces: Vec<NamespaceName>,
        mut sink: impl SnapshotSink,
    ) -> Result<Option<Revision>, StoreError> {
        let read =
            self.inner.readers.read_long(move |conn| snapshot::read(conn, &namespaces, |item| sink.take(item))).await;
        self.seen(read).await
    }
}
