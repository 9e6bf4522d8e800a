//! Answers that say no: RFC 9457 problems.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use jeton_api::{
    problem::{self, Code, Problem},
    time::Timestamp,
};
use jeton_host::serve::Reason;
use jeton_lifecycle::{Denied, Refusal};
use jeton_store::StoreError;
use jeton_types::token::redact;

use super::answer;
use crate::fence::RolledBack;

/// How to authenticate, for every 401 (RFC 6750, 3).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"jeton\"");
/// When to try again what could not be done now, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
/// The same where somebody has to make room first.
const RETRY_AFTER_FULL: HeaderValue = HeaderValue::from_static("10");

/// A refusal on its way to the client. What is in it is public; what is not for the client has been logged.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    detail: String,
}

impl Failure {
    /// A refusal that says what to do.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The one answer to every request without a good token: why it is not good is nobody's business.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            Code::Unauthenticated,
            "send `authorization: Bearer TOKEN` with a token of namespace jeton that is neither revoked nor expired",
        )
    }

    /// There is no such thing.
    pub(crate) fn absent(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// The data were put back to an older state: nothing that they say is believed.
    pub(crate) fn rollback(found: &RolledBack) -> Self {
        Self::new(Code::Rollback, found.to_string())
    }

    /// Something failed that should not have. What it was is for the log alone.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed inside");
        Self::new(Code::Internal, "something failed inside; the authority's log says what")
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        // It may repeat what was sent.
        let problem = Problem::new(self.code, redact(&self.detail));
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A struct of strings: it can always be written.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = answer::document(status, HeaderValue::from_static(problem::CONTENT_TYPE), body);
        response.extensions_mut().insert(self.code);
        match status {
            StatusCode::UNAUTHORIZED => drop(response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE)),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let after = if self.code == Code::StorageFull { RETRY_AFTER_FULL } else { RETRY_AFTER };
                drop(response.headers_mut().insert(header::RETRY_AFTER, after));
            }
            _ => {}
        }
        response
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        let detail = match &denied {
            Denied::Needs(_) => format!("this {denied}"),
            Denied::NeverFed => denied.to_string(),
        };
        Self::new(Code::Forbidden, detail)
    }
}

/// What the listener and the admission control refuse.
impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        let code = match reason {
            Reason::UriTooLong => Code::UriTooLong,
            Reason::HeadersTooLarge => Code::HeadersTooLarge,
            Reason::BodyTooLarge => Code::TooLarge,
            Reason::BodyTooSlow => Code::RequestTimeout,
            Reason::TooManyConnections => Code::TooMany,
            Reason::Overloaded => Code::Unavailable,
        };
        Self::new(code, reason.as_str())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound(what) => return Self::absent(what),
            StoreError::Unauthenticated => return Self::unauthenticated(),
            StoreError::Forbidden(denied) => return denied.clone().into(),
            StoreError::RotationInProgress { until } => {
                let until = Timestamp(*until);
                return Self::new(Code::RotationInProgress, format!("{error}, until {until}; rotate again after that"));
            }
            StoreError::LogCut { .. } => Code::LogCut,
            StoreError::Rollback(_) => Code::Rollback,
            StoreError::NothingMatched | StoreError::LongExpired => Code::NotFound,
            StoreError::KeyReused => Code::KeyReused,
            StoreError::NameTaken => Code::NameTaken,
            StoreError::PrefixTaken => Code::PrefixTaken,
            StoreError::EtagMismatch => Code::EtagMismatch,
            StoreError::Refused(Refusal::Deleted) => Code::Gone,
            StoreError::Refused(_) | StoreError::UnknownRole(_) | StoreError::TooMany { .. } => Code::InvalidRequest,
            // The store has said so once, loudly.
            StoreError::Full => Code::StorageFull,
            StoreError::Unavailable(_) | StoreError::Stopped(_) => {
                tracing::error!(%error, "a request failed");
                return Self::new(Code::Unavailable, "the store cannot do this now; nothing was changed");
            }
            StoreError::Unknown => {
                tracing::error!(%error, "a request failed");
                Code::Unavailable
            }
            StoreError::Corrupt(_)
            | StoreError::Replayed(_)
            | StoreError::Foreign(_)
            | StoreError::SqliteTooOld(_)
            | StoreError::RootFile(_) => {
                return Self::internal(&error);
            }
        };
        Self::new(code, error.to_string())
    }
}
