//! The token with which a client speaks, and where it is from.

use std::{
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use http::HeaderValue;
use jeton_host::files::read_private;
use jeton_types::{Prefix, Secret};

use crate::error::SetupError;

/// Names the file that holds the token.
pub(crate) const TOKEN_FILE_VARIABLE: &str = "JETON_TOKEN_FILE";
/// Holds the token itself, where nothing else can be had.
pub(crate) const TOKEN_VARIABLE: &str = "JETON_TOKEN";

/// Where a token is to come from.
#[derive(Debug, Clone)]
pub(crate) enum TokenFrom {
    Nowhere,
    Given(Secret<String>),
    File(PathBuf),
    Environment,
}

/// What is sent along; nothing, for what is open to everybody.
pub(crate) struct Bearer {
    file: Option<PathBuf>,
    header: RwLock<Option<HeaderValue>>,
}

impl Bearer {
    pub(crate) fn read(from: TokenFrom) -> Result<Self, SetupError> {
        match from {
            TokenFrom::Nowhere => Ok(Self { file: None, header: RwLock::default() }),
            TokenFrom::Given(token) => Self::held(&token, "the token given"),
            TokenFrom::File(file) => Self::of_file(file),
            TokenFrom::Environment => {
                let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
                if let Some(file) = named(TOKEN_FILE_VARIABLE) {
                    return Self::of_file(file.into());
                }
                let token = named(TOKEN_VARIABLE).ok_or(SetupError::NoToken)?;
                let token = Secret::new(token.to_string_lossy().trim().to_owned());
                if token.expose().is_empty() {
                    return Err(SetupError::NoToken);
                }
                Self::held(&token, TOKEN_VARIABLE)
            }
        }
    }

    fn of_file(file: PathBuf) -> Result<Self, SetupError> {
        let header = RwLock::new(Some(header_of_file(&file)?));
        Ok(Self { file: Some(file), header })
    }

    fn held(token: &Secret<String>, from: &str) -> Result<Self, SetupError> {
        Ok(Self { file: None, header: RwLock::new(Some(header(token, from)?)) })
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        self.header.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again; says whether another token is in it. A file that cannot be used changes nothing. Blocks,
    /// briefly.
    pub(crate) fn renewed(&self) -> bool {
        let Some(Ok(fresh)) = self.file.as_deref().map(header_of_file) else { return false };
        let mut held = self.header.write().unwrap_or_else(PoisonError::into_inner);
        let changed = held.as_ref() != Some(&fresh);
        *held = Some(fresh);
        changed
    }

    pub(crate) fn is_renewable(&self) -> bool {
        self.file.is_some()
    }
}

/// A process's own token, of the namespace `jeton`, out of a file that only its owner may read. A mistaken file is found
/// here, where its name can be told, and not by a refusal from afar.
///
/// # Errors
/// [`SetupError`] if the file cannot be read, or holds something else.
pub fn read_token(file: &Path) -> Result<Secret<String>, SetupError> {
    let token = read_private(file)?;
    good_form(&token, &file.display().to_string())?;
    Ok(token)
}

fn header_of_file(file: &Path) -> Result<HeaderValue, SetupError> {
    header(&read_private(file)?, &file.display().to_string())
}

fn good_form(token: &Secret<String>, from: &str) -> Result<(), SetupError> {
    let form = |form: String| SetupError::Form { from: from.to_owned(), form };
    let parsed =
        jeton_types::token::parse(token.expose().as_bytes()).map_err(|malformed| form(malformed.to_string()))?;
    if parsed.prefix != Prefix::BUILT_IN {
        return Err(SetupError::Foreign { from: from.to_owned() });
    }
    Ok(())
}

fn header(token: &Secret<String>, from: &str) -> Result<HeaderValue, SetupError> {
    good_form(token, from)?;
    let text = Secret::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(text.expose())
        .map_err(|error| SetupError::Form { from: from.to_owned(), form: error.to_string() })?;
    value.set_sensitive(true);
    Ok(value)
}
