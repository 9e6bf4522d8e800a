//! How a request fails: RFC 9457 problem details with a stable `code`, and the one table behind them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of a [`Problem`].
pub const CONTENT_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal, $http:literal, $grpc:ident, $exit:ident, $title:literal;)*) => {
        /// What went wrong, as a stable word. Each has its HTTP and gRPC status, its exit code and its title here and
        /// nowhere else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])* $name,)*
        }

        impl Code {
            /// All there are, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $http,)* }
            }

            /// The gRPC status.
            #[must_use]
            pub const fn grpc(self) -> Grpc {
                match self { $(Self::$name => Grpc::$grpc,)* }
            }

            /// What a command exits with.
            #[must_use]
            pub const fn exit(self) -> Exit {
                match self { $(Self::$name => Exit::$exit,)* }
            }

            /// What it means, for the reference.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim(),)* }
            }

            /// A short text for a person, the same each time.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// The request does not have the form that its route takes, or asks for what is out of range.
    InvalidRequest = "invalid_request", 400, InvalidArgument, Refused, "the request cannot be understood";
    /// No token, or not a good one.
    Unauthenticated = "unauthenticated", 401, Unauthenticated, Refused, "a valid token is needed";
    /// A good token that may not do this.
    Forbidden = "forbidden", 403, PermissionDenied, Refused, "this token may not do that";
    /// No such thing, or nothing matched.
    NotFound = "not_found", 404, NotFound, Refused, "there is no such thing";
    /// The route takes other methods.
    MethodNotAllowed = "method_not_allowed", 405, Unimplemented, Refused, "this route does not take that method";
    /// The request did not arrive whole in its time.
    RequestTimeout = "request_timeout", 408, DeadlineExceeded, Unreachable, "the request took too long to arrive";
    /// The name is in use.
    NameTaken = "name_taken", 409, AlreadyExists, Refused, "this name is taken";
    /// The prefix is in use.
    PrefixTaken = "prefix_taken", 409, AlreadyExists, Refused, "this prefix is taken";
    /// The overlap of a rotation is not over.
    RotationInProgress = "rotation_in_progress", 409, FailedPrecondition, Refused, "a rotation is in progress";
    /// A request with this idempotency key is under way.
    KeyRunning = "key_running", 409, Aborted, Unreachable, "a request with this idempotency key is still running";
    /// What was asked for was done before, and its secret cannot be told again.
    SecretUnavailable = "secret_unavailable", 409, FailedPrecondition, Refused, "the secret cannot be told again";
    /// A receipt that is not complete is not signed.
    ReceiptPending = "receipt_pending", 409, FailedPrecondition, Refused, "the receipt is not complete yet";
    /// The thing was deleted, for good.
    Gone = "gone", 410, FailedPrecondition, Refused, "this was deleted, for good";
    /// What was asked for is older than the log, which was cut: read the state as it is now, and go on from there.
    LogCut = "log_cut", 410, OutOfRange, Refused, "the log does not reach back so far";
    /// The thing was changed since the `ETag` that `If-Match` names.
    EtagMismatch = "etag_mismatch", 412, FailedPrecondition, Refused, "this was changed meanwhile";
    /// The body is too long.
    TooLarge = "too_large", 413, ResourceExhausted, Refused, "the body is too large";
    /// The URI is too long.
    UriTooLong = "uri_too_long", 414, InvalidArgument, Refused, "the uri is too long";
    /// The body is not of a media type that the route takes.
    UnsupportedMediaType = "unsupported_media_type", 415, InvalidArgument, Refused, "the body is not of a known type";
    /// The idempotency key belongs to another request.
    KeyReused = "key_reused", 422, InvalidArgument, Refused, "this idempotency key was used for another request";
    /// Too much is asked at once.
    TooMany = "too_many", 429, ResourceExhausted, Unreachable, "too many requests: try again later";
    /// The headers are too many or too long.
    HeadersTooLarge = "headers_too_large", 431, ResourceExhausted, Refused, "the headers are too large";
    /// Something failed that should not have.
    Internal = "internal", 500, Internal, Internal, "something failed inside";
    /// There is no room left to write to.
    StorageFull = "storage_full", 503, ResourceExhausted, Unreachable, "the storage is full";
    /// It cannot be said now whether a token is good.
    Stale = "stale", 503, Unavailable, Unreachable, "it cannot be said now: try again";
    /// The process cannot do this now.
    Unavailable = "unavailable", 503, Unavailable, Unreachable, "this cannot be done now: try again";
    /// The authority has less than a verifier has seen: an older state was put back.
    Rollback = "rollback", 503, FailedPrecondition, Unreachable, "the authority has been rolled back";
}

impl Code {
    /// The code of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }

    /// What an HTTP status means where no code is known: an answer from a proxy, or from a newer authority.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            // These statuses have several codes; this is the one that claims least.
            409 | 410 => Self::InvalidRequest,
            502..=504 => Self::Unavailable,
            _ => Self::ALL.iter().copied().find(|code| code.status() == status).unwrap_or(match status {
                400..=499 => Self::InvalidRequest,
                _ => Self::Internal,
            }),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The gRPC statuses that are in use, with their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[expect(missing_docs, reason = "their meaning is gRPC's")]
pub enum Grpc {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Grpc {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// What a command exits with when a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// It was refused.
    Refused = 1,
    /// Nobody can answer now.
    Unreachable = 3,
    /// Something failed that should not have.
    Internal = 4,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// Problem details (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(from = "Received")]
pub struct Problem {
    /// A name for the kind of problem: `urn:jeton:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same text for each problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is the matter here, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable word.
    #[serde(serialize_with = "word")]
    pub code: Code,
}

impl Problem {
    /// A problem that says what is the matter and what to do.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..code.into() }
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self {
            kind: format!("urn:jeton:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: None,
            code,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail.as_deref().unwrap_or(&self.title))
    }
}

impl std::error::Error for Problem {}

/// A problem as it comes in, perhaps from a newer authority, or from something in between that has other words.
#[derive(Deserialize)]
struct Received {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    title: Option<String>,
    status: u16,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

impl From<Received> for Problem {
    fn from(received: Received) -> Self {
        let Received { kind, title, status, detail, code } = received;
        let code = code.and_then(|word| Code::of_word(&word)).unwrap_or_else(|| Code::of_status(status));
        Self {
            kind: kind.unwrap_or_else(|| "about:blank".to_owned()),
            title: title.unwrap_or_else(|| code.title().to_owned()),
            status,
            detail,
            code,
        }
    }
}

fn word<S: serde::Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden file: other programs rely on each line.
    #[test]
    fn the_table() {
        let mut table = format!("{:<23} {:>4}  {:<22}  {:<13}  title\n", "code", "http", "grpc", "exit");
        for code in Code::ALL {
            let grpc = format!("{} {:?}", code.grpc().number(), code.grpc());
            let exit = format!("{} {:?}", code.exit().number(), code.exit());
            table += &format!("{code:<23} {:>4}  {grpc:<22}  {exit:<13}  {}\n", code.status(), code.title());
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn words_are_unique_and_found() {
        for code in Code::ALL {
            assert_eq!(Code::of_word(code.as_str()), Some(*code));
        }
        assert_eq!(Code::of_word("nonsense"), None);
    }

    #[test]
    fn a_problem_as_json() {
        let problem = Problem::new(Code::NameTaken, "namespace acme is there already: choose another name");
        let json = serde_json::to_string(&problem).unwrap();
        insta::assert_snapshot!(json, @r#"{"type":"urn:jeton:problem:name_taken","title":"this name is taken","status":409,"detail":"namespace acme is there already: choose another name","code":"name_taken"}"#);
        assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
    }

    fn check(json: &str, expect: Code) {
        assert_eq!(serde_json::from_str::<Problem>(json).unwrap().code, expect, "{json}");
    }

    #[test]
    fn foreign_problems_are_read_by_their_status() {
        check(r#"{"status":503,"code":"word_of_tomorrow"}"#, Code::Unavailable);
        check(r#"{"status":504,"title":"gateway"}"#, Code::Unavailable);
        check(r#"{"status":409}"#, Code::InvalidRequest);
        check(r#"{"status":404}"#, Code::NotFound);
        check(r#"{"status":418}"#, Code::InvalidRequest);
        check(r#"{"status":500}"#, Code::Internal);
        check(r#"{"status":301}"#, Code::Internal);
    }
}
