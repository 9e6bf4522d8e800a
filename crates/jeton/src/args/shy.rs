//! Arguments in whose place a person may put a token by mistake: what is refused is not repeated.

use std::{ffi::OsStr, marker::PhantomData, str::FromStr};

use clap::{
    Arg, Command,
    builder::TypedValueParser,
    error::{Error, ErrorKind},
};

/// Parses a `T`; its error says what form is wanted, and never what was given.
pub struct Shy<T>(PhantomData<T>);

impl<T> Shy<T> {
    /// The parser.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Shy<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T> TypedValueParser for Shy<T>
where
    T: FromStr<Err: ToString> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let text = value.to_str().unwrap_or_default();
        text.parse().map_err(|form: T::Err| {
            let token = jeton_types::token::parse(text.as_bytes()).is_ok();
            let advice = if token {
                "\nthis is a token, and is in your shell's history now: replace it, and give it as --secret-file - next time"
            } else {
                ""
            };
            command.clone().error(ErrorKind::ValueValidation, format!("{}{advice}", form.to_string()))
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use jeton_types::{Prefix, Revision, token};

    use crate::args::Cli;

    #[test]
    fn a_token_in_a_names_place_is_not_repeated() {
        let minted = token::mint(&Prefix::built_in(), Revision::ZERO, [7; token::RANDOM_BYTES]);
        let secret = minted.text.expose().as_str();
        for command in [
            vec!["revoke", secret],
            vec!["rotate", secret],
            vec!["issue", secret],
            vec!["credential", "show", secret],
            vec!["credential", "disable", secret],
            vec!["token", "list", secret],
        ] {
            let error = Cli::try_parse_from([vec!["jeton"], command.clone()].concat()).unwrap_err();
            let said = error.to_string();
            assert!(!said.contains(secret) && said.contains("this is a token"), "{}: {said}", command[0]);
            assert_eq!(error.exit_code(), 2);
        }
        let said = Cli::try_parse_from(["jeton", "revoke", "nonsense"]).unwrap_err().to_string();
        assert!(said.contains("a credential is named"), "{said}");
    }
}
