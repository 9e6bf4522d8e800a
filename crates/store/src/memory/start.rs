//! Starts of the authority, and root tokens.

use std::io;

use jeton_feed::record::Change;
use jeton_lifecycle::{Effect, Refusal, issue};
use jeton_types::{CredentialName, Freshness, Invalid, NamespaceName, Prefix, ScopeSet, Secret, StartId};

use super::{
    revocation::{Ending, ends},
    state::{Draft, Entry},
};
use crate::{
    StoreError,
    actor::Actor,
    model::{CredentialRef, CredentialRow, IssueNew, Labels, NamespaceNew, RootReplaced, StartRow, TokenRow},
};

/// What a root may do.
const ROOT_SCOPE: &str = "admin@*";

impl Draft<'_> {
    pub(super) fn start_record(&mut self, start: StartId) -> Result<StartRow, StoreError> {
        let before = self.state.head.revision;
        self.start = Some(start);
        let stamp = self.stamp()?;
        let built_in = NamespaceName::built_in();
        let mut changes = Vec::new();
        if !self.state.namespaces.contains_key(&built_in) {
            let row = self.namespace_insert(
                NamespaceNew {
                    name: built_in.clone(),
                    prefix: Prefix::built_in(),
                    freshness: Freshness::Strict,
                    default_ttl: None,
                },
                stamp,
            );
            changes.push(Change::Policy(row.policy()));
        }
        changes.push(Change::Start(start));
        let row = StartRow { start, revision: stamp.revision, before };
        if self.state.starts.iter().any(|known| known.start == start) {
            return Err(StoreError::Unavailable("this start has been recorded".to_owned()));
        }
        self.state.starts.push(row);
        let entry = Entry {
            actor: &Actor::system(),
            action: "start.record",
            namespace: &built_in,
            object: start.to_string(),
            reason: None,
            changes,
            revocation: None,
        };
        self.publish(stamp, entry)?;
        Ok(row)
    }

    pub(super) fn root_ensure(
        &mut self,
        write: impl FnOnce(&Secret<String>) -> io::Result<()>,
    ) -> Result<Option<TokenRow>, StoreError> {
        let new = root_new(0)?;
        if self.state.credential(&CredentialRef::Name(new.namespace.clone(), new.name.clone())).is_some() {
            return Ok(None);
        }
        let issued = self.issue_as(&Actor::system(), new)?;
        write(&issued.secret).map_err(|error| StoreError::RootFile(error.to_string()))?;
        Ok(Some(issued.token))
    }

    pub(super) fn root_replace(
        &mut self,
        write: impl FnOnce(&Secret<String>) -> io::Result<()>,
    ) -> Result<RootReplaced, StoreError> {
        let home = self.state.namespace(&NamespaceName::built_in())?.clone();
        let mut roots: Vec<CredentialRow> = Vec::new();
        let free = loop {
            let new = root_new(roots.len())?;
            match self.state.credential(&CredentialRef::Name(home.name.clone(), new.name.clone())) {
                Some(found) => roots.push(found.clone()),
                None => break new,
            }
        };
        let stamp = self.stamp()?;
        let usable = |root: &&CredentialRow| {
            root.disabled.is_none() && root.deleted.is_none() && root.scopes.contains(ROOT_SCOPE)
        };
        let (root, version) = match roots.iter().rev().find(usable) {
            Some(found) => {
                let last = self.state.tokens_of(found.id).last().map_or(0, |token| token.version);
                (found.clone(), last.checked_add(1).ok_or(StoreError::Refused(Refusal::VersionsUsedUp))?)
            }
            None => (self.credential_insert(free, stamp), 1),
        };
        let expires_at = issue::expiry(root.ttl, home.default_ttl, stamp.at)?;
        let living = roots.iter().flat_map(|root| self.state.tokens_of(root.id)).filter(|token| token.ended.is_none());
        let mut ended: Vec<Change> = living.map(|token| ends(&token)).collect();
        let (token, secret) = self.mint(&home, &root, stamp, version, expires_at);
        let count = ended.len() as u64;
        let mut changes = vec![Change::Token(token.entry(&root))];
        changes.append(&mut ended);
        let ending = Ending {
            actor: &Actor::system(),
            effect: Effect::Revoke,
            action: "root.replace",
            namespace: &home.name,
            object: Some(root.id.to_string()),
            reason: Some("the root token was replaced offline".to_owned()),
            selector: serde_json::json!({ "credential": root.id }).to_string(),
            count,
            changes,
        };
        let revocation = if count == 0 {
            self.publish(stamp, ending.entry(None))?;
            None
        } else {
            Some(self.end(stamp, ending)?)
        };
        write(&secret).map_err(|error| StoreError::RootFile(error.to_string()))?;
        Ok(RootReplaced { credential: root, token, revocation })
    }
}

/// `root`, `root-2`, `root-3` and so on.
fn root_new(before: usize) -> Result<IssueNew, StoreError> {
    let wrong = |invalid: Invalid| StoreError::Unavailable(invalid.to_string());
    let name = if before == 0 { "root".to_owned() } else { format!("root-{}", before + 1) };
    Ok(IssueNew {
        namespace: NamespaceName::built_in(),
        name: name.parse::<CredentialName>().map_err(wrong)?,
        subject: None,
        scopes: ScopeSet::parse([ROOT_SCOPE]).map_err(wrong)?,
        labels: Labels::default(),
        ttl: None,
        addresses: jeton_types::AddressList::default(),
    })
}
