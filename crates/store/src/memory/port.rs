//! The port, over the model.

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

use super::{
    Memory,
    state::{Draft, State},
    usage,
};
use crate::{
    CommitLog, Health, RECORDS_CUT_MAX, SESSIONS_PRUNED_MAX, SnapshotSink, Store, StoreError,
    commit_log::batch,
    idempotency::Claim,
    model::{
        Burn, Caller, CredentialDelete, CredentialFilter, CredentialPatch, CredentialRef, CredentialRow,
        CredentialState, IssueNew, Issued, NamespaceNew, NamespacePatch, NamespaceRow, Patched, PolicyRow, RecordsCut,
        Retention, RevocationRow, RevokeNew, RevokePreview, Revoked, RootReplaced, Rotated, SessionEndKind, SessionRow,
        SetHashRow, StartRow, StoredReceipt, TokenRow, TokensCollected, UsageFrom, UsageRow, UsageTaken,
    },
};

impl Store for Memory {
    fn claimed(&self, claim: Claim) -> Self {
        Self { shared: Arc::clone(&self.shared), claim: Some(Arc::new(claim)) }
    }

    fn commit_log(&self) -> &Arc<CommitLog> {
        &self.shared.commit_log
    }

    fn authority_time(&self) -> UnixTime {
        self.shared.time.now()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    fn fence(&self, why: String) {
        // The first finding counts.
        let _ = self.shared.fence.set(why);
    }

    async fn start_record(&self, start: StartId) -> Result<StartRow, StoreError> {
        self.write(move |draft| draft.start_record(start)).await
    }

    async fn root_ensure(
        &self,
        write: impl FnOnce(&Secret<String>) -> io::Result<()> + Send + 'static,
    ) -> Result<Option<TokenRow>, StoreError> {
        self.write(move |draft| draft.root_ensure(write)).await
    }

    async fn root_replace(
        &self,
        write: impl FnOnce(&Secret<String>) -> io::Result<()> + Send + 'static,
    ) -> Result<RootReplaced, StoreError> {
        self.write(move |draft| draft.root_replace(write)).await
    }

    async fn namespace_create(&self, caller: Caller, new: NamespaceNew) -> Result<NamespaceRow, StoreError> {
        self.write_once(caller, move |draft| draft.namespace_create(caller, new)).await
    }

    async fn namespace_patch(
        &self,
        caller: Caller,
        namespace: NamespaceName,
        patch: NamespacePatch,
    ) -> Result<Patched<NamespaceRow>, StoreError> {
        self.write_once(caller, move |draft| draft.namespace_patch(caller, &namespace, patch)).await
    }

    async fn credential_issue(&self, caller: Caller, new: IssueNew) -> Result<Issued, StoreError> {
        self.write_once(caller, move |draft| draft.credential_issue(caller, new)).await
    }

    async fn credential_rotate(
        &self,
        caller: Caller,
        credential: CredentialRef,
        overlap: Span,
    ) -> Result<Rotated, StoreError> {
        self.write_once(caller, move |draft| draft.credential_rotate(caller, &credential, overlap)).await
    }

    async fn credential_patch(
        &self,
        caller: Caller,
        credential: CredentialId,
        patch: CredentialPatch,
    ) -> Result<Patched<CredentialRow>, StoreError> {
        self.write_once(caller, move |draft| draft.credential_patch(caller, credential, patch)).await
    }

    async fn credential_delete(
        &self,
        caller: Caller,
        credential: CredentialId,
        delete: CredentialDelete,
    ) -> Result<Patched<CredentialRow>, StoreError> {
        self.write_once(caller, move |draft| draft.credential_delete(caller, credential, delete)).await
    }

    async fn token_burn(&self, burn: Burn) -> Result<Option<Revoked>, StoreError> {
        self.write(move |draft| draft.token_burn(burn)).await
    }

    async fn revocation_preview(&self, caller: Caller, new: RevokeNew) -> Result<RevokePreview, StoreError> {
        self.view().revocation_preview(caller, self.authority_time(), &new)
    }

    async fn revocation_create(&self, caller: Caller, new: RevokeNew) -> Result<Revoked, StoreError> {
        self.write_once(caller, move |draft| draft.revocation_create(caller, new)).await
    }

    async fn receipt_store(
        &self,
        revocation: RevocationId,
        receipt: StoredReceipt,
    ) -> Result<StoredReceipt, StoreError> {
        self.write(move |draft| draft.receipt_store(revocation, receipt)).await
    }

    async fn session_open(&self, session: SessionRow) -> Result<SessionRow, StoreError> {
        let open =
            move |draft: &mut Draft<'_>| Ok(draft.state.sessions.entry(session.session).or_insert(session).clone());
        self.write(open).await
    }

    async fn session_end(&self, session: SessionId, kind: SessionEndKind, at: UnixTime) -> Result<(), StoreError> {
        self.write(move |draft| session_end(&mut draft.state, session, kind, at)).await
    }

    async fn session_forget(&self, session: SessionId) -> Result<(), StoreError> {
        let forget = move |draft: &mut Draft<'_>| {
            let now = draft.now();
            session_end(&mut draft.state, session, SessionEndKind::Forgotten, now)
        };
        self.write(forget).await
    }

    async fn sessions_prune(&self, before: UnixTime) -> Result<usize, StoreError> {
        self.write(move |draft| Ok(sessions_prune(&mut draft.state, before))).await
    }

    async fn records_cut(&self, keep: Retention) -> Result<RecordsCut, StoreError> {
        self.write(move |draft| Ok(records_cut(&mut draft.state, keep))).await
    }

    async fn tokens_collect(
        &self,
        namespace: NamespaceName,
        expired: UnixTime,
    ) -> Result<Option<TokensCollected>, StoreError> {
        self.write(move |draft| draft.tokens_collect(&namespace, expired)).await
    }

    async fn usage_report(&self, from: UsageFrom, report: Report) -> Result<UsageTaken, StoreError> {
        let counted = move |draft: &mut Draft<'_>| {
            let now = draft.now();
            usage::report(&mut draft.state, from, &report, now)
        };
        self.write(counted).await
    }

    async fn namespace(&self, name: NamespaceName) -> Result<Option<NamespaceRow>, StoreError> {
        Ok(self.view().namespaces.get(&name).cloned())
    }

    async fn namespaces(&self) -> Result<Vec<NamespaceRow>, StoreError> {
        Ok(self.view().namespaces.values().cloned().collect())
    }

    async fn credential(&self, credential: CredentialRef) -> Result<Option<CredentialRow>, StoreError> {
        Ok(self.view().credential(&credential).cloned())
    }

    async fn credentials(
        &self,
        namespace: NamespaceName,
        filter: CredentialFilter,
        after: Option<CredentialId>,
        limit: usize,
    ) -> Result<Vec<CredentialRow>, StoreError> {
        let fits = |row: &&CredentialRow| {
            row.namespace == namespace
                && after.is_none_or(|after| row.id > after)
                && filter.subject.as_ref().is_none_or(|subject| row.subject.as_ref() == Some(subject))
                && filter.labels.iter().all(|wanted| row.labels.iter().any(|label| label == wanted))
                && filter.state.is_none_or(|wanted| wanted == state_of(row))
        };
        Ok(self.view().credentials.values().filter(fits).take(limit).cloned().collect())
    }

    async fn tokens(&self, credential: CredentialId) -> Result<Vec<TokenRow>, StoreError> {
        Ok(self.view().tokens_of(credential))
    }

    async fn usages(&self, credential: CredentialId) -> Result<Vec<UsageRow>, StoreError> {
        Ok(usage::list(&self.view(), credential))
    }

    async fn token(&self, token: TokenId) -> Result<Option<TokenRow>, StoreError> {
        Ok(self.view().tokens.get(&token).cloned())
    }

    async fn token_by_digest(&self, digest: Digest) -> Result<Option<(TokenRow, CredentialRow)>, StoreError> {
        Ok(self.view().by_digest(&digest))
    }

    async fn revocation(&self, revocation: RevocationId) -> Result<Option<RevocationRow>, StoreError> {
        Ok(self.view().revocations.get(&revocation).cloned())
    }

    async fn revocations(&self, after: Option<RevocationId>, limit: usize) -> Result<Vec<RevocationRow>, StoreError> {
        let view = self.view();
        let rows = view.revocations.values().filter(|row| after.is_none_or(|after| row.id > after));
        Ok(rows.take(limit).cloned().collect())
    }

    async fn revocation_of_token(&self, token: TokenId) -> Result<Option<RevocationRow>, StoreError> {
        let view = self.view();
        let ended = view.tokens.get(&token).and_then(|row| row.ended);
        Ok(ended.and_then(|ended| view.revocations.get(&ended.revocation)).cloned())
    }

    async fn revocations_pending(&self) -> Result<Vec<RevocationRow>, StoreError> {
        let view = self.view();
        let mut rows: Vec<_> = view.revocations.values().filter(|row| row.receipt.is_none()).cloned().collect();
        rows.sort_by_key(|row| row.revision);
        Ok(rows)
    }

    async fn session(&self, session: SessionId) -> Result<Option<SessionRow>, StoreError> {
        Ok(self.view().sessions.get(&session).cloned())
    }

    async fn sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        let mut rows: Vec<_> = self.view().sessions.values().cloned().collect();
        rows.sort_by_key(|row| (row.opened, row.session));
        Ok(rows)
    }

    async fn policies(&self) -> Result<Vec<PolicyRow>, StoreError> {
        Ok(self.view().policies.clone())
    }

    async fn floors(&self) -> Result<Vec<(NamespaceName, Revision)>, StoreError> {
        Ok(marks(&self.view().floors))
    }

    async fn last_records(&self) -> Result<Vec<(NamespaceName, Revision)>, StoreError> {
        Ok(marks(&self.view().last_records))
    }

    async fn set_hashes(&self) -> Result<Vec<SetHashRow>, StoreError> {
        let view = self.view();
        let of = |(namespace, last_record): (&NamespaceName, &Revision)| {
            Some(SetHashRow {
                namespace: namespace.clone(),
                last_record: *last_record,
                set_hash: view.set_hash(namespace)?,
            })
        };
        Ok(view.last_records.iter().filter_map(of).collect())
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.view().head.clone())
    }

    async fn head_known(&self, start: StartId, revision: Revision) -> Result<HeadKnown, StoreError> {
        let view = self.view();
        let place = view.starts.iter().position(|known| known.start == start);
        let after = |place: usize| view.starts.get(place + 1).map_or(view.head.revision, |later| later.before);
        Ok(HeadKnown {
            start_last: place.map(after),
            chain_hash: view.records.iter().find(|record| record.revision == revision).map(|record| record.chain_hash),
            retained_from: view.records.first().map_or(Revision::ZERO, |record| record.revision),
        })
    }

    async fn record(&self, revision: Revision) -> Result<Option<Record>, StoreError> {
        let view = self.view();
        Ok(view.records.iter().find(|record| record.revision == revision).map(|record| Record::clone(record)))
    }

    async fn records(&self, after: Revision, upto: Revision, limit: usize) -> Result<Vec<Record>, StoreError> {
        let view = self.view();
        let first_ever = view.starts.first().map(|start| start.revision);
        if let Some(first) = view.records.first().filter(|first| Some(first.revision) != first_ever)
            && after < first.revision
        {
            return Err(StoreError::LogCut { retained_from: first.revision });
        }
        let between = |record: &&Arc<Record>| record.revision > after && record.revision <= upto;
        let records = || view.records.iter().filter(between).take(limit);
        let count = batch(records().map(|record| record.changes.len()));
        Ok(records().take(count).map(|record| Record::clone(record)).collect())
    }

    async fn audit_list(
        &self,
        namespace: Option<NamespaceName>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<audit::Link>, StoreError> {
        let view = self.view();
        let of = |link: &&Arc<audit::Link>| {
            link.entry.seq > after && namespace.as_ref().is_none_or(|name| *name == link.entry.namespace)
        };
        Ok(view.audit.iter().filter(of).take(limit).map(|link| audit::Link::clone(link)).collect())
    }

    async fn audit_head(&self) -> Result<audit::Head, StoreError> {
        Ok(self.view().audit_head())
    }

    async fn snapshot(
        &self,
        namespaces: Vec<NamespaceName>,
        mut sink: impl SnapshotSink,
    ) -> Result<Option<Revision>, StoreError> {
        // One view, read before anything is handed over.
        let (at, items) = self.view().snapshot(&namespaces)?;
        for item in items {
            if sink.take_or_wait(item).await.is_break() {
                return Ok(None);
            }
        }
        Ok(Some(at))
    }
}

fn session_end(state: &mut State, session: SessionId, kind: SessionEndKind, at: UnixTime) -> Result<(), StoreError> {
    let row = state.sessions.get_mut(&session).ok_or(StoreError::NotFound("session"))?;
    row.ended = row.ended.or(Some((kind, at)));
    Ok(())
}

fn sessions_prune(state: &mut State, before: UnixTime) -> usize {
    let is_needed = |at: UnixTime| {
        state.revocations.values().any(|revocation| revocation.receipt.is_none() && revocation.committed_at <= at)
    };
    let ended = state.sessions.values().filter_map(|row| row.ended.map(|(_, at)| (at, row.session)));
    let mut old: Vec<_> = ended.filter(|(at, _)| *at < before && !is_needed(*at)).collect();
    old.sort_unstable();
    old.truncate(SESSIONS_PRUNED_MAX);
    for (_, session) in &old {
        state.sessions.remove(session);
        state.usage.reports.remove(session);
    }
    old.len()
}

fn records_cut(state: &mut State, keep: Retention) -> RecordsCut {
    let pending = state.revocations.values().filter(|row| row.receipt.is_none()).map(|row| row.revision).min();
    let newest = state.head.revision;
    let count = state.records.len();
    let goes = |(place, record): &(usize, &Arc<Record>)| {
        let is_over = record.committed_at < keep.after || (count - place) as u64 > keep.records_max;
        is_over && record.revision < newest && pending.is_none_or(|pending| record.revision < pending)
    };
    let cut = state.records.iter().enumerate().take_while(goes).take(RECORDS_CUT_MAX).count();
    state.records.drain(..cut);
    RecordsCut { cut, retained: state.records.len() as u64 }
}

fn marks(marks: &std::collections::BTreeMap<NamespaceName, Revision>) -> Vec<(NamespaceName, Revision)> {
    marks.iter().map(|(name, revision)| (name.clone(), *revision)).collect()
}

const fn state_of(row: &CredentialRow) -> CredentialState {
    match (&row.deleted, &row.disabled) {
        (Some(_), _) => CredentialState::Deleted,
        (None, Some(_)) => CredentialState::Disabled,
        (None, None) => CredentialState::Active,
    }
}
