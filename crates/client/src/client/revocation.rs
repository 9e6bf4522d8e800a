use std::time::Duration;

use http::Method;
use jeton_api::revocation::{RevocationView, RevokePreviewView, RevokeRequest, TimeoutMs, Wait};
use jeton_types::{NamespaceName, RevocationId};

use super::{Change, Client, Pages, namespace::namespaces};
use crate::{
    error::{Error, Kind},
    retry::Manner,
    transport::Outgoing,
    url::Target,
};

/// How long the first answer may wait for the receipt: a healthy fleet has acknowledged long before.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How often a pending receipt is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Revocations on a page: each may have a line for every verifier.
const PAGE: usize = 20;

/// How long a change asks the authority to wait before it answers.
pub(super) fn asked_wait(wait: Wait, timeout: Option<TimeoutMs>) -> Duration {
    match wait {
        Wait::Committed => Duration::ZERO,
        Wait::Complete => timeout.map_or(TimeoutMs::DEFAULT, TimeoutMs::duration),
    }
}

fn revocations(id: RevocationId) -> Target {
    Target::new("/v1/revocations").segment(&id)
}

/// Revocations and their receipts.
impl Client {
    /// Ends tokens, for good. The answer comes once that is durable, and with `wait: complete` in the request once the
    /// receipt is complete or the time over: [`Client::revoke_and_wait`] does that better, over broken connections too.
    pub fn revoke(&self, namespace: &NamespaceName, request: &RevokeRequest) -> Change<'_, RevocationView> {
        Change::new(self, Method::POST, namespaces().segment(namespace).segment(&"revocations"))
            .body(request)
            .waiting(asked_wait(request.wait, request.timeout_ms))
            // Its answer would be another; and whoever asks for a dry run must not revoke.
            .unless(request.dry_run, "a dry run is asked for with `revoke_preview`; nothing was revoked")
    }

    /// What a revocation would end. Nothing is changed.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn revoke_preview(
        &self,
        namespace: &NamespaceName,
        request: &RevokeRequest,
    ) -> Result<RevokePreviewView, Error> {
        let request = RevokeRequest { dry_run: true, ..request.clone() };
        self.ask(namespaces().segment(namespace).segment(&"revocations"), &request, Manner::Read).await
    }

    /// Ends tokens, for good, and waits until no verifier accepts them any more: until the receipt is complete, or
    /// `timeout` is over. Look at `receipt.is_complete()`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn revoke_and_wait(
        &self,
        namespace: &NamespaceName,
        request: &RevokeRequest,
        timeout: Duration,
    ) -> Result<RevocationView, Error> {
        let began = self.shared.pace.elapsed();
        let request = RevokeRequest { wait: Wait::Complete, timeout_ms: Self::first_wait(timeout), ..request.clone() };
        let view = self.revoke(namespace, &request).await?;
        let left = timeout.saturating_sub(self.shared.pace.elapsed().saturating_sub(began));
        self.receipt_wait(view, left, |_| {}).await
    }

    /// What to ask for as `timeout_ms` of a change whose receipt is waited for until `timeout`: a short wait, in which a
    /// healthy fleet acknowledges. The rest is [`Client::receipt_wait`]'s.
    #[must_use]
    pub fn first_wait(timeout: Duration) -> Option<TimeoutMs> {
        u64::try_from(FIRST_WAIT.min(timeout).as_millis()).ok().and_then(|millis| millis.try_into().ok())
    }

    /// Waits until the receipt of a revocation is complete, or `timeout` is over; each state of it is shown to `seen`. An
    /// authority that is away meanwhile is asked again when it is back: a receipt is never taken back.
    ///
    /// # Errors
    /// [`Error`]; `Unreachable` only when the time is over. The revocation holds in any case.
    pub async fn receipt_wait(
        &self,
        mut view: RevocationView,
        timeout: Duration,
        mut seen: impl FnMut(&RevocationView) + Send,
    ) -> Result<RevocationView, Error> {
        let pace = &self.shared.pace;
        let began = pace.elapsed();
        let left = || timeout.saturating_sub(pace.elapsed().saturating_sub(began));
        seen(&view);
        while !view.receipt.is_complete() && left() > Duration::ZERO {
            pace.pause(LOOK_EVERY.min(left())).await;
            // However little is left, the last look gets a moment.
            match self.with_deadline(self.deadline.min(left().max(FIRST_WAIT))).revocation(view.id).await {
                Ok(looked) => view = looked,
                Err(error) if error.kind() == Kind::Unreachable && left() > Duration::ZERO => continue,
                Err(error) => return Err(error),
            }
            seen(&view);
        }
        Ok(view)
    }

    /// A revocation with its receipt as it stands.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn revocation(&self, id: RevocationId) -> Result<RevocationView, Error> {
        self.get(revocations(id)).await
    }

    /// The revocations of a namespace, or of all that the caller may see, oldest first.
    pub fn revocations(&self, namespace: Option<&NamespaceName>) -> Pages<RevocationView> {
        let target = Target::new("/v1/revocations").query_some("namespace", namespace).query("limit", &PAGE);
        Pages::new(self, target, None)
    }

    /// The signed receipt, as a JWS that [`crate::receipt::check`] checks anywhere.
    ///
    /// # Errors
    /// [`Error`]; `receipt_pending` while it is not complete, and so not signed.
    pub async fn receipt(&self, id: RevocationId) -> Result<String, Error> {
        let mut outgoing = Outgoing::new(Method::GET, revocations(id).segment(&"receipt"));
        outgoing.accept = "application/jose";
        let answer = self.call(&outgoing, Manner::Read, Duration::ZERO).await?;
        let text = String::from_utf8(answer.into());
        text.map(|text| text.trim().to_owned()).map_err(|_| Error::Bad("the receipt is not text".to_owned()))
    }
}
