use http::Method;
use jeton_api::{
    revocation::{BurnRequest, BurnView},
    verify::{VerdictView, VerifyRequest},
};

use super::{Change, Client};
use crate::{error::Error, retry::Manner, url::Target};

/// Tokens as they are presented.
impl Client {
    /// Asks the authority, or the sidecar that this client points at, whether a token is good, now. Each call goes over the
    /// network; a service that verifies often embeds a [`crate::feed::Verifier`].
    ///
    /// # Errors
    /// [`Error`]; `stale` if it cannot be said: neither valid nor invalid.
    pub async fn verify(&self, request: &VerifyRequest) -> Result<VerdictView, Error> {
        self.ask(Target::new("/v1/verify"), request, Manner::Verify).await
    }

    /// Ends a token, for good: holding it is all the right that is needed. The answer is the same whether or not there was
    /// such a token.
    pub fn burn(&self, request: &BurnRequest) -> Change<'_, BurnView> {
        Change::new(self, Method::POST, Target::new("/v1/burn")).body(request)
    }
}
