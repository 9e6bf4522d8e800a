//! What a selector matches, if the actor may end it.

use jeton_lifecycle::access::Action;
use jeton_types::NamespaceName;

use super::state::State;
use crate::{
    StoreError,
    actor::Actor,
    model::{CredentialRef, CredentialRow, RevocationRow, RevokeNew, Selector, TokenRow},
    selector,
};

/// What is selected.
pub(super) struct Selected {
    pub(super) namespace: NamespaceName,
    /// Those that have not ended yet, in the order of credential and version.
    pub(super) tokens: Vec<TokenRow>,
    /// Of what has ended already, the latest revocation that did it.
    pub(super) earlier: Option<RevocationRow>,
    pub(super) text: String,
}

impl State {
    pub(super) fn select(&self, actor: &Actor, new: &RevokeNew) -> Result<Selected, StoreError> {
        let RevokeNew { namespace: within, selector, .. } = new;
        if let Some(namespace) = within
            && !namespace.is_built_in()
        {
            let _authorized = actor.permit(Action::Revoke, namespace)?;
            self.namespace(namespace)?;
        }
        let selected = if selector.credential.is_some() || selector.token.is_some() || selector.secret.is_some() {
            self.named(actor, within.as_ref(), selector)?
        } else if selector.is_empty() {
            return Err(StoreError::NothingMatched);
        } else {
            self.searched(actor, within.as_ref().ok_or(StoreError::NotFound("namespace"))?, selector)?
        };
        if let (true, true, Some(earlier)) =
            (selected.namespace.is_built_in(), selected.tokens.is_empty(), &selected.earlier)
        {
            // It is answered whole, with what it ended besides.
            let by_it = |token: &&TokenRow| token.ended.is_some_and(|ended| ended.revocation == earlier.id);
            for token in self.tokens.values().filter(by_it) {
                let credential = self.credentials.get(&token.credential).ok_or(StoreError::NotFound("credential"))?;
                let _authorized = actor.permit_on(Action::Revoke, &selected.namespace, &credential.scopes)?;
            }
        }
        Ok(selected)
    }

    /// Of one credential, which is named or has the token that is.
    fn named(
        &self,
        actor: &Actor,
        within: Option<&NamespaceName>,
        selector: &Selector,
    ) -> Result<Selected, StoreError> {
        let inside = |token: &&TokenRow| within.is_none_or(|namespace| *namespace == token.namespace);
        let by_id = match selector.token {
            Some(id) => Some(self.tokens.get(&id).filter(inside).ok_or(StoreError::NotFound("token"))?),
            None => None,
        };
        let by_secret = match &selector.secret {
            Some(key) => {
                let home = self.by_prefix(&key.prefix).ok_or(StoreError::NothingMatched)?;
                let mut tokens = self.tokens.values().filter(inside);
                let found = tokens.find(|token| token.digest == key.digest && token.namespace == home.name);
                Some(found.ok_or(StoreError::NothingMatched)?)
            }
            None => None,
        };
        if let (Some(one), Some(other)) = (by_id, by_secret)
            && one.id != other.id
        {
            return Err(StoreError::NothingMatched);
        }
        let one = by_id.or(by_secret);
        let of = selector.credential.clone().or_else(|| one.map(|token| CredentialRef::Id(token.credential)));
        let of = of.ok_or(StoreError::NothingMatched)?;
        let credential = self.permitted(actor, Action::Revoke, &of, within)?;
        let mut tokens = self.tokens_of(credential.id);
        tokens.retain(|token| one.is_none_or(|one| one.id == token.id));
        tokens.retain(|token| selector::fits(selector, &credential, token));
        if tokens.is_empty() {
            return Err(StoreError::NothingMatched);
        }
        let text = selector::text(selector, Some(credential.id), tokens.first().map(|token| token.id));
        let earlier = self.latest(&tokens);
        tokens.retain(TokenRow::lives);
        Ok(Selected { namespace: credential.namespace, tokens, earlier, text })
    }

    /// Of all credentials of a namespace.
    fn searched(&self, actor: &Actor, namespace: &NamespaceName, selector: &Selector) -> Result<Selected, StoreError> {
        let permitted = |credential: &CredentialRow| -> Result<(), StoreError> {
            if namespace.is_built_in() {
                let _authorized = actor.permit_on(Action::Revoke, namespace, &credential.scopes)?;
            }
            Ok(())
        };
        let mut found = Vec::new();
        for credential in self.credentials.values().filter(|row| row.namespace == *namespace) {
            let tokens = self.tokens_of(credential.id);
            let fitting = tokens.into_iter().filter(|token| selector::fits(selector, credential, token));
            found.extend(fitting.map(|token| (credential, token)));
        }
        let mut tokens = Vec::new();
        for (credential, token) in found.iter().filter(|(_, token)| token.lives()) {
            permitted(credential)?;
            tokens.push(token.clone());
        }
        let mut earlier = None;
        if tokens.is_empty() {
            for (credential, _) in &found {
                permitted(credential)?;
            }
            let ended: Vec<TokenRow> = found.iter().map(|(_, token)| token.clone()).collect();
            earlier = Some(self.latest(&ended).ok_or(StoreError::NothingMatched)?);
        }
        Ok(Selected { namespace: namespace.clone(), tokens, earlier, text: selector::text(selector, None, None) })
    }

    /// The latest revocation that ended any of them.
    fn latest(&self, tokens: &[TokenRow]) -> Option<RevocationRow> {
        let ended = tokens.iter().filter_map(|token| self.revocations.get(&token.ended?.revocation));
        ended.max_by_key(|row| row.revision).cloned()
    }
}
