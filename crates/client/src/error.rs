//! How a call fails.

use jeton_api::problem::{self, Code, Problem};
use jeton_host::files::FileError;

use crate::IdempotencyKey;

/// Why a call brought no answer of its kind.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The call could not be made as it was asked for: an argument is wrong. Nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// The other side answered, and said no. [`Error::code`] is the stable word.
    #[error("{0}")]
    Problem(Problem),
    /// It was done before under this key, but the secret that it made opens only to the token that asked for it then. The
    /// problem's detail names what was made: rotate the credential for a new secret.
    #[error("{0}")]
    SecretUnavailable(Problem),
    /// No answer: not there, gone, or too slow. Nothing was changed.
    #[error("{0}")]
    Unreachable(String),
    /// A change was sent, and whether it was made is not known: no answer came before the deadline. The same call under
    /// the same key settles it: the change is made if it was not, and answered as it was.
    #[error("{cause}; whether it was done is not known")]
    Unsettled {
        /// The key to ask again under.
        key: IdempotencyKey,
        /// How the last try failed.
        cause: Box<Error>,
    },
    /// An answer that makes no sense: the other side is no authority, or a much newer one.
    #[error("{0}")]
    Bad(String),
}

/// What a failure means for whoever called: the four that a program, or a script, tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The authority says no, and will say so again.
    Refused = 1,
    /// What was asked for, or how, cannot be: arguments, files, URLs.
    Usage = 2,
    /// Nobody can answer now; later somebody may. Also `stale`, 429 and 503.
    Unreachable = 3,
    /// Something failed that should not have.
    Internal = 4,
}

impl Kind {
    /// What a command exits with.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        self as u8
    }
}

impl From<problem::Exit> for Kind {
    fn from(exit: problem::Exit) -> Self {
        match exit {
            problem::Exit::Refused => Self::Refused,
            problem::Exit::Unreachable => Self::Unreachable,
            problem::Exit::Internal => Self::Internal,
        }
    }
}

impl Error {
    /// What it means for whoever called.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Usage(_) => Kind::Usage,
            Self::Problem(problem) | Self::SecretUnavailable(problem) => problem.code.exit().into(),
            Self::Unreachable(_) => Kind::Unreachable,
            Self::Unsettled { cause, .. } => cause.kind(),
            Self::Bad(_) => Kind::Internal,
        }
    }

    /// The stable word, if the other side said one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Problem(problem) | Self::SecretUnavailable(problem) => Some(problem.code),
            Self::Unsettled { cause, .. } => cause.code(),
            Self::Usage(_) | Self::Unreachable(_) | Self::Bad(_) => None,
        }
    }

    pub(crate) fn of_problem(problem: Problem) -> Self {
        match problem.code {
            Code::SecretUnavailable => Self::SecretUnavailable(problem),
            _ => Self::Problem(problem),
        }
    }
}

impl From<SetupError> for Error {
    fn from(error: SetupError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The URL is not one that can be called.
    #[error("`{url}` is no URL of an authority: {why}; it looks like http://127.0.0.1:7400")]
    Url {
        /// As it was given, without a password.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The token's file cannot be read.
    #[error("{}", chain(.0))]
    File(#[from] FileError),
    /// What was found in the place of a token is something else.
    #[error("{from} holds something else: {form}")]
    Form {
        /// The file, the variable, or `the token given`.
        from: String,
        /// What form a token has.
        form: String,
    },
    /// A token of another namespace, which opens nothing here.
    #[error(
        "{from} holds a token of another namespace: what is needed is one of namespace jeton, which begins with {prefix}_",
        prefix = jeton_types::Prefix::BUILT_IN
    )]
    Foreign {
        /// The file, the variable, or `the token given`.
        from: String,
    },
    /// No token where one was expected.
    #[error(
        "no token: give --token-file FILE or set JETON_TOKEN_FILE (the first start of `jeton serve` writes root.token into its data folder)"
    )]
    NoToken,
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(&format!(": {deeper}"));
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_exit_codes() {
        let problem = |code| Error::of_problem(Problem::new(code, "x")).kind().exit_code();
        assert_eq!(problem(Code::NotFound), 1);
        assert_eq!(problem(Code::SecretUnavailable), 1);
        assert_eq!(problem(Code::Stale), 3);
        assert_eq!(problem(Code::TooMany), 3);
        assert_eq!(problem(Code::Internal), 4);
        assert_eq!(Error::Usage("x".to_owned()).kind().exit_code(), 2);
        assert_eq!(Error::Unreachable("x".to_owned()).kind().exit_code(), 3);
        assert_eq!(Error::Bad("x".to_owned()).kind().exit_code(), 4);
        let cause = Box::new(Error::Unreachable("gone".to_owned()));
        let unsettled = Error::Unsettled { key: "k".parse().unwrap(), cause };
        assert_eq!((unsettled.kind(), unsettled.code()), (Kind::Unreachable, None));
        assert_eq!(unsettled.to_string(), "gone; whether it was done is not known");
    }

    #[test]
    fn a_secret_that_cannot_be_told_again_is_told_apart() {
        let error = Error::of_problem(Problem::new(Code::SecretUnavailable, "made tok_1"));
        assert!(matches!(&error, Error::SecretUnavailable(problem) if problem.to_string() == "made tok_1"));
        assert_eq!(error.code(), Some(Code::SecretUnavailable));
    }
}
