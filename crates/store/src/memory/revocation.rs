//! Revocations, burning, and the one mutator that everything that ends authority goes through.

use jeton_feed::record::{Change, EndReason};
use jeton_lifecycle::Effect;
use jeton_types::{NamespaceName, RevocationId, UnixTime, limits::REVOKE_TOKENS_MAX};

use super::{
    select::Selected,
    state::{Draft, Entry, Stamp, State},
};
use crate::{
    StoreError,
    actor::Actor,
    model::{Burn, Caller, Ended, RevocationRow, RevokeNew, RevokePreview, Revoked, Selector, StoredReceipt, TokenRow},
};

/// Tokens that a preview lists.
const PREVIEW_MAX: usize = 100;

/// What is to be ended.
pub(super) struct Ending<'a> {
    pub(super) actor: &'a Actor,
    pub(super) effect: Effect,
    pub(super) action: &'static str,
    pub(super) namespace: &'a NamespaceName,
    /// What was changed, for the audit; the revocation itself unless given.
    pub(super) object: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) selector: String,
    pub(super) count: u64,
    pub(super) changes: Vec<Change>,
}

impl<'a> Ending<'a> {
    /// What is published of it; without a revocation, if nothing ends after all.
    pub(super) fn entry(self, revocation: Option<RevocationId>) -> Entry<'a> {
        let Self { actor, action, namespace, object, reason, changes, .. } = self;
        let of = || revocation.map(|id| id.to_string()).unwrap_or_default();
        Entry { actor, action, namespace, object: object.unwrap_or_else(of), reason, changes, revocation }
    }
}

/// The change that ends a token.
pub(super) const fn ends(token: &TokenRow) -> Change {
    Change::End { digest: token.digest, token: token.id, reason: EndReason::Revoked }
}

impl Draft<'_> {
    /// Ends it. What else changes is the caller's to write.
    pub(super) fn end(&mut self, stamp: Stamp, ending: Ending<'_>) -> Result<RevocationRow, StoreError> {
        let revocation = RevocationRow {
            id: RevocationId::new(stamp.at, self.random()),
            namespace: ending.namespace.clone(),
            effect: ending.effect,
            revision: stamp.revision,
            committed_at: stamp.at,
            actor: ending.actor.name(),
            reason: ending.reason.clone(),
            count: ending.count,
            selector: ending.selector.clone(),
            receipt: None,
        };
        self.state.revocations.insert(revocation.id, revocation.clone());
        for change in &ending.changes {
            match change {
                Change::End { token, reason, .. } => {
                    let ended = Ended { reason: *reason, at: stamp.at, revocation: revocation.id };
                    if let Some(row) = self.state.tokens.get_mut(token) {
                        row.ended = row.ended.or(Some(ended));
                    }
                }
                Change::Deadline { token, expires_at, .. } => self.deadline_set(*token, *expires_at),
                Change::Policy(_)
                | Change::Token(_)
                | Change::Collected { .. }
                | Change::Start(_)
                | Change::Unknown { .. } => {}
            }
        }
        self.publish(stamp, ending.entry(Some(revocation.id)))?;
        Ok(revocation)
    }

    pub(super) fn revocation_create(&mut self, caller: Caller, new: RevokeNew) -> Result<Revoked, StoreError> {
        let actor = self.state.actor(caller, self.now())?;
        let selected = self.state.select(&actor, &new)?;
        self.revoke(&actor, selected, new.reason, "revocation.create")
    }

    pub(super) fn token_burn(&mut self, burn: Burn) -> Result<Option<Revoked>, StoreError> {
        let Burn { digest, prefix, address, reason } = burn;
        let Some(home) = self.state.by_prefix(&prefix).cloned() else { return Ok(None) };
        let found = self.state.by_digest(&digest).filter(|(token, _)| token.namespace == home.name);
        let Some((token, credential)) = found.filter(|(token, _)| token.lives() || token.ended.is_some()) else {
            return Ok(None);
        };
        let actor = Actor::holder(token.id, credential.id, address);
        let selector = Selector::secret(digest, prefix);
        let new = RevokeNew { namespace: Some(home.name), selector, reason };
        let selected = self.state.select(&Actor::system(), &new)?;
        self.revoke(&actor, selected, new.reason, "token.burn").map(Some)
    }

    fn revoke(
        &mut self,
        actor: &Actor,
        selected: Selected,
        reason: Option<String>,
        action: &'static str,
    ) -> Result<Revoked, StoreError> {
        let Selected { namespace, tokens, earlier, text } = selected;
        if tokens.len() > REVOKE_TOKENS_MAX {
            return Err(StoreError::TooMany { count: tokens.len() });
        }
        if tokens.is_empty() {
            let revocation = earlier.ok_or(StoreError::LongExpired)?;
            let ended_by = |token: &&TokenRow| token.ended.is_some_and(|ended| ended.revocation == revocation.id);
            let mut ended: Vec<&TokenRow> = self.state.tokens.values().filter(ended_by).collect();
            ended.sort_by_key(|token| (token.credential, token.version));
            return Ok(Revoked { tokens: ended.iter().map(|token| token.id).collect(), revocation, fresh: false });
        }
        let stamp = self.stamp()?;
        let ending = Ending {
            actor,
            effect: Effect::Revoke,
            action,
            namespace: &namespace,
            object: None,
            reason,
            selector: text,
            count: tokens.len() as u64,
            changes: tokens.iter().map(ends).collect(),
        };
        let revocation = self.end(stamp, ending)?;
        Ok(Revoked { revocation, tokens: tokens.iter().map(|token| token.id).collect(), fresh: true })
    }

    pub(super) fn receipt_store(
        &mut self,
        id: RevocationId,
        receipt: StoredReceipt,
    ) -> Result<StoredReceipt, StoreError> {
        let row = self.state.revocations.get_mut(&id).ok_or(StoreError::NotFound("revocation"))?;
        if let Some(kept) = &row.receipt {
            return Ok(kept.clone());
        }
        row.receipt = Some(receipt.clone());
        let floor = self.state.floors.entry(row.namespace.clone()).or_insert(row.revision);
        *floor = row.revision.max(*floor);
        Ok(receipt)
    }
}

impl State {
    pub(super) fn revocation_preview(
        &self,
        caller: Caller,
        now: UnixTime,
        new: &RevokeNew,
    ) -> Result<RevokePreview, StoreError> {
        let actor = self.actor(caller, now)?;
        let Selected { tokens, .. } = self.select(&actor, new)?;
        let count = tokens.len() as u64;
        Ok(RevokePreview { count, tokens: tokens.iter().take(PREVIEW_MAX).map(|token| token.id).collect() })
    }
}
