//! What a selector matches, if the actor may end it: tokens of one namespace.

use jeton_lifecycle::access::Action;
use jeton_types::{Digest, NamespaceName, RevocationId, TokenId, limits::REVOKE_TOKENS_MAX};
use rusqlite::{Connection, Row, params};

use super::{
    credential, namespace, revocation,
    row::{self, labels_value, sql, time_value},
    token,
};
use crate::{
    StoreError,
    actor::Actor,
    model::{CredentialRef, RevocationRow, RevokeNew, Selector, TokenRow},
    selector,
};

/// What is selected.
pub(super) struct Selected {
    pub(super) namespace: NamespaceName,
    /// Those that have not ended yet, at most one more than may be ended at once.
    pub(super) tokens: Vec<(TokenId, Digest)>,
    /// How many those are in truth.
    pub(super) count: usize,
    /// Of what has ended already, the latest revocation that did it.
    pub(super) earlier: Option<RevocationId>,
    /// The selector in a form that may be shown: a secret is told by the token that it was of.
    pub(super) text: String,
}

pub(super) fn select(conn: &Connection, actor: &Actor, new: &RevokeNew) -> Result<Selected, StoreError> {
    let within = new.namespace.as_ref();
    if let Some(namespace) = within
        && !namespace.is_built_in()
    {
        let _authorized = actor.permit(Action::Revoke, namespace)?;
        namespace::find(conn, namespace)?.ok_or(StoreError::NotFound("namespace"))?;
    }
    let selector = &new.selector;
    let selected = if selector.credential.is_some() || selector.token.is_some() || selector.secret.is_some() {
        named(conn, actor, within, selector)?
    } else {
        match within {
            // Nothing named: nothing would be left out.
            _ if selector.is_empty() => return Err(StoreError::NothingMatched),
            Some(namespace) => searched(conn, actor, namespace, selector)?,
            None => return Err(StoreError::NotFound("namespace")),
        }
    };
    if let (true, 0, Some(earlier)) = (selected.namespace.is_built_in(), selected.count, &selected.earlier) {
        // It is answered whole, with what it ended besides.
        for scopes in
            row::all(conn, sql!("revocation/scopes_list"), [earlier.as_bytes()], |found| row::scopes(found, 0))?
        {
            let _authorized = actor.permit_on(Action::Revoke, &selected.namespace, &scopes)?;
        }
    }
    Ok(selected)
}

/// Of one credential, which is named or has the token that is.
fn named(
    conn: &Connection,
    actor: &Actor,
    within: Option<&NamespaceName>,
    selector: &Selector,
) -> Result<Selected, StoreError> {
    // A token outside of the namespace that is asked for is as good as none, before anything is said of rights.
    let inside = |token: &TokenRow| within.is_none_or(|namespace| *namespace == token.namespace);
    let mut one: Option<TokenRow> = None;
    if let Some(id) = selector.token {
        one = Some(token::find(conn, id)?.filter(inside).ok_or(StoreError::NotFound("token"))?);
    }
    if let Some(key) = &selector.secret {
        // The digest covers the body alone; a text with another namespace's prefix is not this token.
        let home = namespace::find_by_prefix(conn, &key.prefix)?.ok_or(StoreError::NothingMatched)?;
        let (found, _) = token::find_by_digest(conn, &key.digest)?
            .filter(|(token, _)| token.namespace == home.name && inside(token))
            .ok_or(StoreError::NothingMatched)?;
        if one.as_ref().is_some_and(|one| one.id != found.id) {
            return Err(StoreError::NothingMatched);
        }
        one = Some(found);
    }
    let of = match (&selector.credential, &one) {
        (Some(named), _) => named.clone(),
        (None, Some(token)) => CredentialRef::Id(token.credential),
        (None, None) => return Err(StoreError::NothingMatched),
    };
    let credential = credential::find_permitted(conn, actor, Action::Revoke, &of, within)?;
    let tokens = match one {
        Some(token) if token.credential != credential.id => Vec::new(),
        Some(token) => vec![token],
        None => token::list(conn, credential.id)?,
    };
    let tokens: Vec<TokenRow> =
        tokens.into_iter().filter(|token| selector::fits(selector, &credential, token)).collect();
    if tokens.is_empty() {
        return Err(StoreError::NothingMatched);
    }
    let mut earlier: Option<RevocationRow> = None;
    for ended in tokens.iter().filter_map(|token| token.ended) {
        // Two may be of one moment; no two are of one revision.
        if earlier.as_ref().is_none_or(|found| found.id != ended.revocation) {
            let found = revocation::must_find(conn, ended.revocation)?;
            earlier = earlier.filter(|other| other.revision > found.revision).or(Some(found));
        }
    }
    let secret_of = tokens.first().map(|token| token.id);
    let tokens: Vec<_> = tokens.iter().filter(|token| token.lives()).map(|token| (token.id, token.digest)).collect();
    let text = selector::text(selector, Some(credential.id), secret_of);
    Ok(Selected {
        namespace: credential.namespace,
        count: tokens.len(),
        tokens,
        earlier: earlier.map(|row| row.id),
        text,
    })
}

/// Of all credentials of a namespace.
fn searched(
    conn: &Connection,
    actor: &Actor,
    namespace: &NamespaceName,
    selector: &Selector,
) -> Result<Selected, StoreError> {
    let subject = selector.subject.as_ref().map(|subject| subject.as_str());
    let labels = labels_value(&selector.labels);
    let before = selector.issued_before.map(time_value);
    let params = params![namespace.as_str(), subject, before, labels];
    let permitted = |found: &Row<'_>, column: usize| -> Result<(), StoreError> {
        // In the built-in namespace it depends on what each may do; elsewhere it has been decided.
        if namespace.is_built_in() {
            let _authorized = actor.permit_on(Action::Revoke, namespace, &row::scopes(found, column)?)?;
        }
        Ok(())
    };
    let sql = if subject.is_some() { sql!("revocation/select_by_subject") } else { sql!("revocation/select") };
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let (mut tokens, mut count) = (Vec::new(), 0_usize);
    while let Some(found) = rows.next()? {
        permitted(found, 2)?;
        count += 1;
        if tokens.len() <= REVOKE_TOKENS_MAX {
            tokens.push((row::token_id(found, 0)?, row::digest(found, 1)?));
        }
    }
    let mut earlier = None;
    if count == 0 {
        let mut statement = conn.prepare_cached(sql!("revocation/select_ended"))?;
        let mut rows = statement.query(params)?;
        while let Some(found) = rows.next()? {
            permitted(found, 1)?;
            if earlier.is_none() {
                earlier = Some(row::revocation_id(found, 0)?);
            }
            if !namespace.is_built_in() {
                break;
            }
        }
        if earlier.is_none() {
            return Err(StoreError::NothingMatched);
        }
    }
    let text = selector::text(selector, None, None);
    Ok(Selected { namespace: namespace.clone(), tokens, count, earlier, text })
}
