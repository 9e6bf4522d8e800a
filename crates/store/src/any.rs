//! One type for every store, so that what works with the port need not be generic over it.

use std::{io, sync::Arc};

use jeton_feed::{
    record::{Head, Record},
    rollback::HeadKnown,
    usage::Report,
};
use jeton_lifecycle::audit;
use jeton_types::{
    CredentialId, Digest, NamespaceName, Revision, RevocationId, Secret, SessionId, Span, StartId, TokenId, UnixTime,
};
use tokio::sync::watch;

use crate::{
    CommitLog, Health, SnapshotSink, Space, Sqlite, Store, StoreError,
    idempotency::Claim,
    model::{
        Burn, Caller, CredentialDelete, CredentialFilter, CredentialPatch, CredentialRef, CredentialRow, IssueNew,
        Issued, NamespaceNew, NamespacePatch, NamespaceRow, Patched, PolicyRow, RecordsCut, Retention, RevocationRow,
        RevokeNew, RevokePreview, Revoked, RootReplaced, Rotated, SessionEndKind, SessionRow, SetHashRow, StartRow,
        StoredReceipt, TokenRow, TokensCollected, UsageFrom, UsageRow, UsageTaken,
    },
};

#[cfg(feature = "memory")]
use crate::Memory;

/// A store of any kind. Which one is decided where a process is put together; everything above it knows the port alone.
/// Clones are handles of one store.
#[derive(Debug, Clone)]
pub enum AnyStore {
    /// The embedded store: all that a product has.
    Sqlite(Sqlite),
    /// The model.
    #[cfg(feature = "memory")]
    Memory(Memory),
}

/// The same for whichever it is.
macro_rules! each {
    ($any:expr, $store:ident => $done:expr) => {
        match $any {
            AnyStore::Sqlite($store) => $done,
            #[cfg(feature = "memory")]
            AnyStore::Memory($store) => $done,
        }
    };
}

impl AnyStore {
    /// What is known of the room on the disk; of a store that has none, that there is room.
    #[must_use]
    pub fn space(&self) -> watch::Receiver<Space> {
        match self {
            Self::Sqlite(store) => store.space(),
            #[cfg(feature = "memory")]
            Self::Memory(_) => watch::channel(Space { full: false, ballast_bytes: 0 }).1,
        }
    }

    /// Has the store look, now, whether a disk that was full has room again; [`Self::space`] says it.
    ///
    /// # Errors
    /// [`StoreError::Full`] if it has not.
    pub async fn space_check(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.space_check().await,
            #[cfg(feature = "memory")]
            Self::Memory(_) => Ok(()),
        }
    }
}

impl Store for AnyStore {
    fn claimed(&self, claim: Claim) -> Self {
        match self {
            Self::Sqlite(store) => Self::Sqlite(store.claimed(claim)),
            #[cfg(feature = "memory")]
            Self::Memory(store) => Self::Memory(store.claimed(claim)),
        }
    }

    fn commit_log(&self) -> &Arc<CommitLog> {
        each!(self, store => store.commit_log())
    }

    fn authority_time(&self) -> UnixTime {
        each!(self, store => store.authority_time())
    }

    fn health(&self) -> watch::Receiver<Health> {
        each!(self, store => store.health())
    }

    fn fence(&self, why: String) {
        each!(self, store => store.fence(why))
    }

    async fn start_record(&self, start: StartId) -> Result<StartRow, StoreError> {
        each!(self, store => store.start_record(start).await)
    }

    async fn root_ensure(
        &self,
        write: impl FnOnce(&Secret<String>) -> io::Result<()> + Send + 'static,
    ) -> Result<Option<TokenRow>, StoreError> {
        each!(self, store => store.root_ensure(write).await)
    }

    async fn root_replace(
        &self,
        write: impl FnOnce(&Secret<String>) -> io::Result<()> + Send + 'static,
    ) -> Result<RootReplaced, StoreError> {
        each!(self, store => store.root_replace(write).await)
    }

    async fn namespace_create(&self, caller: Caller, new: NamespaceNew) -> Result<NamespaceRow, StoreError> {
        each!(self, store => store.namespace_create(caller, new).await)
    }

    async fn namespace_patch(
        &self,
        caller: Caller,
        namespace: NamespaceName,
        patch: NamespacePatch,
    ) -> Result<Patched<NamespaceRow>, StoreError> {
        each!(self, store => store.namespace_patch(caller, namespace, patch).await)
    }

    async fn credential_issue(&self, caller: Caller, new: IssueNew) -> Result<Issued, StoreError> {
        each!(self, store => store.credential_issue(caller, new).await)
    }

    async fn credential_rotate(
        &self,
        caller: Caller,
        credential: CredentialRef,
        overlap: Span,
    ) -> Result<Rotated, StoreError> {
        each!(self, store => store.credential_rotate(caller, credential, overlap).await)
    }

    async fn credential_patch(
        &self,
        caller: Caller,
        credential: CredentialId,
        patch: CredentialPatch,
    ) -> Result<Patched<CredentialRow>, StoreError> {
        each!(self, store => store.credential_patch(caller, credential, patch).await)
    }

    async fn credential_delete(
        &self,
        caller: Caller,
        credential: CredentialId,
        delete: CredentialDelete,
    ) -> Result<Patched<CredentialRow>, StoreError> {
        each!(self, store => store.credential_delete(caller, credential, delete).await)
    }

    async fn token_burn(&self, burn: Burn) -> Result<Option<Revoked>, StoreError> {
        each!(self, store => store.token_burn(burn).await)
    }

    async fn revocation_preview(&self, caller: Caller, new: RevokeNew) -> Result<RevokePreview, StoreError> {
        each!(self, store => store.revocation_preview(caller, new).await)
    }

    async fn revocation_create(&self, caller: Caller, new: RevokeNew) -> Result<Revoked, StoreError> {
        each!(self, store => store.revocation_create(caller, new).await)
    }

    async fn receipt_store(
        &self,
        revocation: RevocationId,
        receipt: StoredReceipt,
    ) -> Result<StoredReceipt, StoreError> {
        each!(self, store => store.receipt_store(revocation, receipt).await)
    }

    async fn session_open(&self, session: SessionRow) -> Result<SessionRow, StoreError> {
        each!(self, store => store.session_open(session).await)
    }

    async fn session_end(&self, session: SessionId, kind: SessionEndKind, at: UnixTime) -> Result<(), StoreError> {
        each!(self, store => store.session_end(session, kind, at).await)
    }

    async fn session_forget(&self, session: SessionId) -> Result<(), StoreError> {
        each!(self, store => store.session_forget(session).await)
    }

    async fn sessions_prune(&self, before: UnixTime) -> Result<usize, StoreError> {
        each!(self, store => store.sessions_prune(before).await)
    }

    async fn records_cut(&self, keep: Retention) -> Result<RecordsCut, StoreError> {
        each!(self, store => store.records_cut(keep).await)
    }

    async fn tokens_collect(
        &self,
        namespace: NamespaceName,
        expired: UnixTime,
    ) -> Result<Option<TokensCollected>, StoreError> {
        each!(self, store => store.tokens_collect(namespace, expired).await)
    }

    async fn usage_report(&self, from: UsageFrom, report: Report) -> Result<UsageTaken, StoreError> {
        each!(self, store => store.usage_report(from, report).await)
    }

    async fn namespace(&self, name: NamespaceName) -> Result<Option<NamespaceRow>, StoreError> {
        each!(self, store => store.namespace(name).await)
    }

    async fn namespaces(&self) -> Result<Vec<NamespaceRow>, StoreError> {
        each!(self, store => store.namespaces().await)
    }

    async fn credential(&self, credential: CredentialRef) -> Result<Option<CredentialRow>, StoreError> {
        each!(self, store => store.credential(credential).await)
    }

    async fn credentials(
        &self,
        namespace: NamespaceName,
        filter: CredentialFilter,
        after: Option<CredentialId>,
        limit: usize,
    ) -> Result<Vec<CredentialRow>, StoreError> {
        each!(self, store => store.credentials(namespace, filter, after, limit).await)
    }

    async fn tokens(&self, credential: CredentialId) -> Result<Vec<TokenRow>, StoreError> {
        each!(self, store => store.tokens(credential).await)
    }

    async fn usages(&self, credential: CredentialId) -> Result<Vec<UsageRow>, StoreError> {
        each!(self, store => store.usages(credential).await)
    }

    async fn token(&self, token: TokenId) -> Result<Option<TokenRow>, StoreError> {
        each!(self, store => store.token(token).await)
    }

    async fn token_by_digest(&self, digest: Digest) -> Result<Option<(TokenRow, CredentialRow)>, StoreError> {
        each!(self, store => store.token_by_digest(digest).await)
    }

    async fn revocation(&self, revocation: RevocationId) -> Result<Option<RevocationRow>, StoreError> {
        each!(self, store => store.revocation(revocation).await)
    }

    async fn revocations(&self, after: Option<RevocationId>, limit: usize) -> Result<Vec<RevocationRow>, StoreError> {
        each!(self, store => store.revocations(after, limit).await)
    }

    async fn revocation_of_token(&self, token: TokenId) -> Result<Option<RevocationRow>, StoreError> {
        each!(self, store => store.revocation_of_token(token).await)
    }

    async fn revocations_pending(&self) -> Result<Vec<RevocationRow>, StoreError> {
        each!(self, store => store.revocations_pending().await)
    }

    async fn session(&self, session: SessionId) -> Result<Option<SessionRow>, StoreError> {
        each!(self, store => store.session(session).await)
    }

    async fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        each!(self, store => store.sessions().await)
    }

    async fn policies(&self) -> Result<Vec<PolicyRow>, StoreError> {
        each!(self, store => store.policies().await)
    }

    async fn floors(&self) -> Result<Vec<(NamespaceName, Revision)>, StoreError> {
        each!(self, store => store.floors().await)
    }

    async fn last_records(&self) -> Result<Vec<(NamespaceName, Revision)>, StoreError> {
        each!(self, store => store.last_records().await)
    }

    async fn set_hashes(&self) -> Result<Vec<SetHashRow>, StoreError> {
        each!(self, store => store.set_hashes().await)
    }

    async fn head(&self) -> Result<Head, StoreError> {
        each!(self, store => store.head().await)
    }

    async fn head_known(&self, start: StartId, revision: Revision) -> Result<HeadKnown, StoreError> {
        each!(self, store => store.head_known(start, revision).await)
    }

    async fn record(&self, revision: Revision) -> Result<Option<Record>, StoreError> {
        each!(self, store => store.record(revision).await)
    }

    async fn records(&self, after: Revision, upto: Revision, limit: usize) -> Result<Vec<Record>, StoreError> {
        each!(self, store => store.records(after, upto, limit).await)
    }

    async fn audit_list(
        &self,
        namespace: Option<NamespaceName>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<audit::Link>, StoreError> {
        each!(self, store => store.audit_list(namespace, after, limit).await)
    }

    async fn audit_head(&self) -> Result<audit::Head, StoreError> {
        each!(self, store => store.audit_head().await)
    }

    async fn snapshot(
        &self,
        namespaces: Vec<NamespaceName>,
        sink: impl SnapshotSink,
    ) -> Result<Option<Revision>, StoreError> {
        each!(self, store => store.snapshot(namespaces, sink).await)
    }
}
