use http::Method;
use jeton_api::{
    credential::{
        CredentialChangedView, CredentialDeleteQuery, CredentialPatch, CredentialQuery, CredentialView, IssueRequest,
        IssuedView, RotateRequest, RotatedView,
    },
    problem::{Code, Problem},
    token::TokenView,
};
use jeton_types::{CredentialId, CredentialRef, NamespaceName, TokenId};

use super::{
    Change, Client, Pages,
    namespace::{PAGE, namespaces},
    revocation::asked_wait,
};
use crate::{error::Error, url::Target};

fn credentials(id: CredentialId) -> Target {
    Target::new("/v1/credentials").segment(&id)
}

/// Credentials and their tokens.
impl Client {
    /// Issues a credential with its first token. When it has answered, no verifier that serves the namespace says `unknown`
    /// of the token. The secret is in the answer, once.
    pub fn issue(&self, namespace: &NamespaceName, request: &IssueRequest) -> Change<'_, IssuedView> {
        Change::new(self, Method::POST, namespaces().segment(namespace).segment(&"credentials")).body(request)
    }

    /// Mints a credential's next token; the one before it works on until the overlap ends. The secret is in the answer,
    /// once.
    pub fn rotate(&self, credential: CredentialId, request: &RotateRequest) -> Change<'_, RotatedView> {
        Change::new(self, Method::POST, credentials(credential).segment(&"rotate")).body(request)
    }

    /// Those of a namespace that are as the query says.
    pub fn credentials(&self, namespace: &NamespaceName, query: &CredentialQuery) -> Pages<CredentialView> {
        let mut target = namespaces().segment(namespace).segment(&"credentials");
        let query = CredentialQuery { limit: query.limit.or(Some(PAGE)), ..query.clone() };
        for (name, value) in query.pairs().into_iter().filter(|(name, _)| *name != "after") {
            target = target.query(name, &value);
        }
        Pages::new(self, target, query.after)
    }

    /// One, by its id or its name.
    ///
    /// # Errors
    /// [`Error`]; `not_found` if there is none of this name.
    pub async fn credential(&self, wanted: &CredentialRef) -> Result<CredentialView, Error> {
        match wanted {
            CredentialRef::Id(id) => self.get(credentials(*id)).await,
            CredentialRef::Name(namespace, name) => {
                let query = CredentialQuery { name: Some(name.clone()), ..CredentialQuery::default() };
                let found = self.credentials(namespace, &query).next().await?;
                found.ok_or_else(|| {
                    let why =
                        format!("no credential {wanted}; `jeton credential list {namespace}` shows what there is");
                    Error::Problem(Problem::new(Code::NotFound, why))
                })
            }
        }
    }

    /// Changes one: what is not named stays. Where authority ends by it, the answer holds the revocation; see
    /// [`Client::receipt_wait`].
    pub fn credential_update(
        &self,
        credential: CredentialId,
        patch: &CredentialPatch,
    ) -> Change<'_, CredentialChangedView> {
        Change::new(self, Method::PATCH, credentials(credential))
            .body(patch)
            .waiting(asked_wait(patch.wait, patch.timeout_ms))
    }

    /// Deletes one and ends its tokens, for good.
    pub fn credential_delete(
        &self,
        credential: CredentialId,
        query: &CredentialDeleteQuery,
    ) -> Change<'_, CredentialChangedView> {
        let mut target = credentials(credential).query_some("reason", query.reason.as_ref());
        if query.wait == jeton_api::revocation::Wait::Complete {
            target = target.query("wait", &"complete");
        }
        target = target.query_some("timeout_ms", query.timeout_ms.map(u64::from).as_ref());
        Change::new(self, Method::DELETE, target).waiting(asked_wait(query.wait, query.timeout_ms))
    }

    /// The tokens of a credential, oldest first.
    pub fn tokens(&self, credential: CredentialId) -> Pages<TokenView> {
        Pages::new(self, credentials(credential).segment(&"tokens"), None)
    }

    /// One token, by its public id.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn token(&self, token: TokenId) -> Result<TokenView, Error> {
        self.get(Target::new("/v1/tokens").segment(&token)).await
    }
}
