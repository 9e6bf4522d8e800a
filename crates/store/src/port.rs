use std::{future::Future, io, sync::Arc};

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
    CommitLog, SnapshotSink, StoreError,
    idempotency::Claim,
    model::{
        Burn, Caller, CredentialDelete, CredentialFilter, CredentialPatch, CredentialRef, CredentialRow, IssueNew,
        Issued, NamespaceNew, NamespacePatch, NamespaceRow, Patched, PolicyRow, RecordsCut, Retention, RevocationRow,
        RevokeNew, RevokePreview, Revoked, RootReplaced, Rotated, SessionEndKind, SessionRow, SetHashRow, StartRow,
        StoredReceipt, TokenRow, TokensCollected, UsageFrom, UsageRow, UsageTaken,
    },
};

/// Whether the store still writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Writing,
    /// A write or sync failed, so nothing that the kernel says of the files can be trusted any more; every later
    /// mutation is answered [`StoreError::Stopped`]. The process should end with exit code 4.
    Stopped(String),
}

/// Rows of sessions that are removed at once, at most.
pub const SESSIONS_PRUNED_MAX: usize = 1_000;
/// Records that are removed at once, at most: so few that nobody waits long behind it.
pub const RECORDS_CUT_MAX: usize = 500;
/// Tokens that are collected by one record, at most.
pub const TOKENS_COLLECTED_MAX: usize = 500;

/// What every store does.
///
/// **Mutations** are durable when they return, all or nothing, and already in the [`CommitLog`]. A future that is
/// dropped does not undo its mutation. **Reads** open their own view after they were called, so they see every
/// mutation that had returned by then.
pub trait Store: Send + Sync + 'static {
    /// The same store, whose mutations on behalf of a caller are done once: what was done under the claimed key before is
    /// answered as [`StoreError::Replayed`], what was asked for differently as [`StoreError::KeyReused`].
    fn claimed(&self, claim: Claim) -> Self
    where
        Self: Sized;
    /// How the process learns of commits.
    fn commit_log(&self) -> &Arc<CommitLog>;
    /// Authority time: the wall clock, made never to go back, also over a restart.
    fn authority_time(&self) -> UnixTime;
    /// Whether it still writes.
    fn health(&self) -> watch::Receiver<Health>;

    /// Ends all writing, for the life of the process: from here on every mutation is answered [`StoreError::Rollback`]
    /// with these words, those that wait for their turn too.
    fn fence(&self, why: String);

    /// Records that the authority has started, or was paused for so long that it counts as a start. To be called before
    /// any other mutation; the first time ever it also creates the built-in namespace.
    fn start_record(&self, start: StartId) -> impl Future<Output = Result<StartRow, StoreError>> + Send;
    /// Issues `jeton/root` with the scope `admin@*`, if it was never issued. `write` puts its secret where its owner
    /// looks for it, and is called before the commit: if it fails, nothing has happened. Answers nothing when there was
    /// nothing to do.
    fn root_ensure(
        &self,
        write: impl FnOnce(&Secret<String>) -> io::Result<()> + Send + 'static,
    ) -> impl Future<Output = Result<Option<TokenRow>, StoreError>> + Send;
    /// Replaces the root token, which was lost: makes a new one and ends every one that was before it, in one
    /// transaction. `write` is called as in [`Self::root_ensure`].
    fn root_replace(
        &self,
        write: impl FnOnce(&Secret<String>) -> io::Result<()> + Send + 'static,
    ) -> impl Future<Output = Result<RootReplaced, StoreError>> + Send;
    /// Creates a namespace.
    fn namespace_create(
        &self,
        caller: Caller,
        new: NamespaceNew,
    ) -> impl Future<Output = Result<NamespaceRow, StoreError>> + Send;
    /// Switches a namespace off, or on again.
    fn namespace_patch(
        &self,
        caller: Caller,
        namespace: NamespaceName,
        patch: NamespacePatch,
    ) -> impl Future<Output = Result<Patched<NamespaceRow>, StoreError>> + Send;
    /// Issues a credential with its first token.
    fn credential_issue(
        &self,
        caller: Caller,
        new: IssueNew,
    ) -> impl Future<Output = Result<Issued, StoreError>> + Send;
    /// Mints the next token of a credential; the one before it goes on for `overlap`.
    fn credential_rotate(
        &self,
        caller: Caller,
        credential: CredentialRef,
        overlap: Span,
    ) -> impl Future<Output = Result<Rotated, StoreError>> + Send;
    /// Changes a credential: gives it more, takes from it, switches it off or on.
    fn credential_patch(
        &self,
        caller: Caller,
        credential: CredentialId,
        patch: CredentialPatch,
    ) -> impl Future<Output = Result<Patched<CredentialRow>, StoreError>> + Send;
    /// Ends a credential and all its tokens, for good. Its name stays taken.
    fn credential_delete(
        &self,
        caller: Caller,
        credential: CredentialId,
        delete: CredentialDelete,
    ) -> impl Future<Output = Result<Patched<CredentialRow>, StoreError>> + Send;
    /// Ends a token for whoever holds it. Nothing, if there is no such token.
    fn token_burn(&self, burn: Burn) -> impl Future<Output = Result<Option<Revoked>, StoreError>> + Send;
    /// What [`Self::revocation_create`] would end; asks for the same rights, and changes nothing.
    fn revocation_preview(
        &self,
        caller: Caller,
        new: RevokeNew,
    ) -> impl Future<Output = Result<RevokePreview, StoreError>> + Send;
    /// Ends tokens of one namespace, for good. If all that is selected has ended already, answers the latest revocation
    /// that did it.
    fn revocation_create(
        &self,
        caller: Caller,
        new: RevokeNew,
    ) -> impl Future<Output = Result<Revoked, StoreError>> + Send;
    /// Keeps a complete receipt. A receipt that is there already stays as it is; answers what is kept.
    fn receipt_store(
        &self,
        revocation: RevocationId,
        receipt: StoredReceipt,
    ) -> impl Future<Output = Result<StoredReceipt, StoreError>> + Send;
    /// Registers a session, or that it has ended if its end was heard of first. One that is registered already stays as
    /// it is; answers what is registered.
    fn session_open(&self, session: SessionRow) -> impl Future<Output = Result<SessionRow, StoreError>> + Send;
    /// Records how a session ended. The first end counts.
    fn session_end(
        &self,
        session: SessionId,
        kind: SessionEndKind,
        at: UnixTime,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Takes a session that was silent for too long out of the registry of the living; that it was there stays known.
    fn session_forget(&self, session: SessionId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes rows of sessions that ended before this moment and that no receipt still needs: none that is not complete was
    /// committed before they ended. At most [`SESSIONS_PRUNED_MAX`] at once, the oldest first; says how many.
    fn sessions_prune(&self, before: UnixTime) -> impl Future<Output = Result<usize, StoreError>> + Send;
    /// Cuts the oldest records off that need not be kept, at most [`RECORDS_CUT_MAX`] at once. The newest record stays, and so
    /// does every one from the oldest on whose receipt is not complete. State, audit, policies and starts are not the log's.
    fn records_cut(&self, keep: Retention) -> impl Future<Output = Result<RecordsCut, StoreError>> + Send;

    /// Has verifiers forget tokens of a namespace whose expiry is at or before this moment, and has passed: one record, with at
    /// most [`TOKENS_COLLECTED_MAX`] of them, those that expired first. Nothing if there are none. The rows stay, and so does a
    /// token without an expiry, also one that has ended. Nothing of the built-in namespace goes: it is never fed.
    fn tokens_collect(
        &self,
        namespace: NamespaceName,
        expired: UnixTime,
    ) -> impl Future<Output = Result<Option<TokensCollected>, StoreError>> + Send;

    /// Counts what somebody has seen of tokens in use; no revision, since no verifier is told. A report of a session is counted
    /// once by its number. If it speaks of a token of a namespace that the session does not serve, nothing of it is counted;
    /// of tokens that are not there any more nothing is kept.
    fn usage_report(
        &self,
        from: UsageFrom,
        report: Report,
    ) -> impl Future<Output = Result<UsageTaken, StoreError>> + Send;

    /// A namespace.
    fn namespace(&self, name: NamespaceName) -> impl Future<Output = Result<Option<NamespaceRow>, StoreError>> + Send;
    /// All namespaces, by name.
    fn namespaces(&self) -> impl Future<Output = Result<Vec<NamespaceRow>, StoreError>> + Send;
    /// A credential.
    fn credential(
        &self,
        credential: CredentialRef,
    ) -> impl Future<Output = Result<Option<CredentialRow>, StoreError>> + Send;
    /// The credentials of a namespace that fit a filter and whose ids come after `after`, at most `limit`, in the order
    /// of their ids.
    fn credentials(
        &self,
        namespace: NamespaceName,
        filter: CredentialFilter,
        after: Option<CredentialId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<CredentialRow>, StoreError>> + Send;
    /// The tokens of a credential, oldest first.
    fn tokens(&self, credential: CredentialId) -> impl Future<Output = Result<Vec<TokenRow>, StoreError>> + Send;
    /// What is known of the use of a credential's tokens, oldest first, in one view.
    fn usages(&self, credential: CredentialId) -> impl Future<Output = Result<Vec<UsageRow>, StoreError>> + Send;
    /// A token.
    fn token(&self, token: TokenId) -> impl Future<Output = Result<Option<TokenRow>, StoreError>> + Send;
    /// The token of a lookup key, with its credential: what each verification by the authority reads.
    fn token_by_digest(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<Option<(TokenRow, CredentialRow)>, StoreError>> + Send;
    /// A revocation.
    fn revocation(
        &self,
        revocation: RevocationId,
    ) -> impl Future<Output = Result<Option<RevocationRow>, StoreError>> + Send;
    /// The revocations whose ids come after `after`, at most `limit`, in the order of their ids.
    fn revocations(
        &self,
        after: Option<RevocationId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<RevocationRow>, StoreError>> + Send;
    /// The revocation that ended a token.
    fn revocation_of_token(
        &self,
        token: TokenId,
    ) -> impl Future<Output = Result<Option<RevocationRow>, StoreError>> + Send;
    /// The revocations without a complete receipt, in revision order.
    fn revocations_pending(&self) -> impl Future<Output = Result<Vec<RevocationRow>, StoreError>> + Send;
    /// One session of the registry.
    fn session(&self, session: SessionId) -> impl Future<Output = Result<Option<SessionRow>, StoreError>> + Send;
    /// All sessions of the registry, those that ended among them.
    fn sessions(&self) -> impl Future<Output = Result<Vec<SessionRow>, StoreError>> + Send;
    /// Every policy that was ever set, in revision order.
    fn policies(&self) -> impl Future<Output = Result<Vec<PolicyRow>, StoreError>> + Send;
    /// The greatest revision with a complete receipt, of each namespace that has one.
    fn floors(&self) -> impl Future<Output = Result<Vec<(NamespaceName, Revision)>, StoreError>> + Send;
    /// The last record of each namespace.
    fn last_records(&self) -> impl Future<Output = Result<Vec<(NamespaceName, Revision)>, StoreError>> + Send;
    /// What is enforced in each namespace, in one hash, and the last record that it follows.
    fn set_hashes(&self) -> impl Future<Output = Result<Vec<SetHashRow>, StoreError>> + Send;
    /// Where the log stands in the database.
    fn head(&self) -> impl Future<Output = Result<Head, StoreError>> + Send;
    /// What is known of a head that somebody shows, in one view (`feed-protocol.md` 26).
    fn head_known(
        &self,
        start: StartId,
        revision: Revision,
    ) -> impl Future<Output = Result<HeadKnown, StoreError>> + Send;
    /// The record of a revision, while the log has it.
    fn record(&self, revision: Revision) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;
    /// The records above `after` up to and including `upto`, of all namespaces, at most `limit`, in order;
    /// [`StoreError::LogCut`] unless the log still has everything above `after`, so that none is ever left out silently.
    /// Fewer if they have many changes, so that they fit into memory, but at least one if there is one.
    fn records(
        &self,
        after: Revision,
        upto: Revision,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Record>, StoreError>> + Send;
    /// The audit entries after place `after`, of one namespace or of all, at most `limit`, in order.
    fn audit_list(
        &self,
        namespace: Option<NamespaceName>,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<audit::Link>, StoreError>> + Send;
    /// The newest audit entry.
    fn audit_head(&self) -> impl Future<Output = Result<audit::Head, StoreError>> + Send;
    /// Everything that is enforced in `namespaces`, read in one view, piece by piece; answers the head of that view.
    ///
    /// While `sink` takes its time the view stays open and the log cannot be cut, so a sink that hands pieces to a slow
    /// reader must give up after a while, by [`Break`](std::ops::ControlFlow::Break); then nothing is answered.
    fn snapshot(
        &self,
        namespaces: Vec<NamespaceName>,
        sink: impl SnapshotSink,
    ) -> impl Future<Output = Result<Option<Revision>, StoreError>> + Send;
}
