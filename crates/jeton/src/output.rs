//! What commands print: a document for scripts, or lines for people.

use std::{io::Write as _, path::Path};

use jeton_api::token::NewTokenView;
use jeton_host::files::PrivateFile;
use jeton_types::Secret;
use serde::Serialize;

use crate::exit::{Exit, Failure};

/// Prints one JSON document.
pub fn document<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::internal)?;
    line(&text)
}

/// Prints one line on standard output.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::usage(format!("standard output: {error}")))
}

/// Says something to the person, not to the script.
pub fn note(text: &str) {
    // A closed standard error must not end the work that it tells of.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes a secret to a file of mode 0600, replacing what was there as a whole.
pub fn save_secret(secret: &Secret<String>, path: &Path) -> Result<(), Failure> {
    SecretOut::prepare(Some(path))?.write(secret)
}

/// Where a new secret goes, found to take it before the secret is made: it exists once, and nobody can ask for it again.
pub struct SecretOut(Option<PrivateFile>);

impl SecretOut {
    /// A file of mode 0600, or standard output.
    pub fn prepare(path: Option<&Path>) -> Result<Self, Failure> {
        let file = path.map(PrivateFile::prepare).transpose();
        Ok(Self(file.map_err(|error| Failure::caused(Exit::Usage, &error))?))
    }

    /// Hands out the secret of a new token: into the file, or alone on standard output. With `json` the document is
    /// printed, and the secret is in it only if it is in no file.
    pub fn hand_out<T: Serialize>(self, view: &T, token: &NewTokenView, json: bool) -> Result<(), Failure> {
        let to_file = self.0.is_some();
        let handed = if json && !to_file { Ok(()) } else { self.write(&token.secret.0) };
        let printed = handed.and_then(|()| match json {
            true if to_file => document(&without_secret(view)?),
            true => document(view),
            false => Ok(()),
        });
        printed.map_err(|failure| Failure {
            message: format!(
                "{failure}; token {0} is issued, but its secret may be lost: end it with `jeton revoke --token-id {0}`",
                token.id
            ),
            ..failure
        })
    }

    fn write(self, secret: &Secret<String>) -> Result<(), Failure> {
        match self.0 {
            Some(file) => {
                let text = Secret::new(format!("{}\n", secret.expose()));
                file.finish(text.expose().as_bytes()).map_err(|error| Failure::caused(Exit::Usage, &error))
            }
            None => line(secret.expose()),
        }
    }
}

/// A document about a new token, without what went into a file.
fn without_secret<T: Serialize>(view: &T) -> Result<serde_json::Value, Failure> {
    let mut document = serde_json::to_value(view).map_err(Failure::internal)?;
    if let Some(token) = document.get_mut("token").and_then(serde_json::Value::as_object_mut) {
        token.remove("secret");
    }
    Ok(document)
}

/// Rows under a head, in columns as wide as they need to be.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: &[String; N]| {
        let mut text = String::new();
        for (place, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if place > 0 {
                text.push_str("  ");
            }
            text.push_str(&format!("{cell:width$}"));
        }
        line(text.trim_end())
    };
    print(&head.map(str::to_owned))?;
    rows.iter().try_for_each(print)
}

/// An optional value, or a dash.
pub fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}
