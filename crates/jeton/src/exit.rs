//! How a command ends.

use std::{fmt, process::ExitCode};

use jeton_client::{Error, Kind, SetupError};

/// The exit codes that scripts rely on; the highest that applies wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Refused: an invalid token, a receipt not complete in time, nothing matched, a file that does not check.
    Refused = 1,
    /// Usage: arguments, files, folders, ports.
    Usage = 2,
    /// Unreachable, also `stale`, 429 and 503.
    Unreachable = 3,
    /// Internal: corruption, a failed sync.
    Internal = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked, with what to do now.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// For a person, on standard error.
    pub message: String,
}

/// What a command returns: how it ended, or why it could not.
pub type Outcome = Result<Exit, Failure>;

impl Failure {
    /// With any exit code.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// Wrong arguments, files, folders or ports.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// What an error says, with its causes, outermost first.
    pub fn caused(exit: Exit, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause {
            message.push_str(&format!(": {deeper}"));
            cause = deeper.source();
        }
        Self { exit, message }
    }

    /// The machine or the store let us down.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(Exit::Internal, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Refused => Self::Refused,
            Kind::Usage => Self::Usage,
            Kind::Unreachable => Self::Unreachable,
            Kind::Internal => Self::Internal,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = error.kind().into();
        Self::new(exit, advised(&error))
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::usage(error)
    }
}

/// What happened, and what to do now.
fn advised(error: &Error) -> String {
    match error {
        Error::Problem(problem) | Error::SecretUnavailable(problem) => format!("{}: {problem}", problem.code),
        Error::Unreachable(why) => format!("{why} (--url or JETON_URL says where the authority is)"),
        Error::Unsettled { cause, .. } => {
            format!("{}; whether it was done is not known: look before you ask again", advised(cause))
        }
        Error::Bad(why) => {
            format!("the answer makes no sense: {why}; does --url or JETON_URL point at a Jeton authority?")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_library() {
        for kind in [Kind::Refused, Kind::Usage, Kind::Unreachable, Kind::Internal] {
            assert_eq!(Exit::from(kind) as u8, kind.exit_code());
        }
    }
}
