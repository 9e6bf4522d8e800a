use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

/// Any error, as hyper and tower pass them on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the loop, a body or the admission control refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request target is too long.
    UriTooLong,
    /// There are too many header fields, or they are too long.
    HeadersTooLarge,
    /// The body is too long.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// There are too many connections, from this address or in all.
    TooManyConnections,
    /// Too many requests are under way.
    Overloaded,
}

impl Reason {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyConnections | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One sentence for the client, without a period.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UriTooLong => "the request target is too long",
            Self::HeadersTooLarge => "there are too many header fields, or they are too long",
            Self::BodyTooLarge => "the request body is too long",
            Self::BodyTooSlow => "the request body did not arrive in time",
            Self::TooManyConnections => "too many connections are open; reuse them, or try again later",
            Self::Overloaded => "too many requests are under way; try again later",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Builds the response to a refused request. Every matching closure is one.
pub trait Refuse<B>: Clone + Send + Sync + 'static {
    /// The response for `reason`.
    fn refuse(&self, reason: Reason) -> Response<B>;
}

impl<B, F: Fn(Reason) -> Response<B> + Clone + Send + Sync + 'static> Refuse<B> for F {
    fn refuse(&self, reason: Reason) -> Response<B> {
        self(reason)
    }
}

/// A refusal as one line of plain text, for listeners whose clients read nothing but the status.
#[must_use]
pub fn refuse_plain<B: From<Bytes>>(reason: Reason) -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from(format!("{reason}\n"))));
    *response.status_mut() = reason.status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
