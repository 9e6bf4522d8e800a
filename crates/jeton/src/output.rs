//! What commands print: a document for scripts, or lines for people.

use std::{io::Write as _, path::Path};

use jeton_types::Secret;
use serde::Serialize;

use crate::exit::Failure;

/// Prints one JSON document.
pub fn document<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::internal)?;
    line(&text)
}

/// Prints one line on standard output.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::usage(format!("standard output: {error}")))
}

/// Says something to the person, not to the script.
pub fn note(text: &str) {
    // A closed standard error must not end the work that it tells of.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Hands a secret out: into a file of mode 0600, or alone on standard output.
pub fn secret(secret: &Secret<String>, out: Option<&Path>) -> Result<(), Failure> {
    match out {
        Some(path) => save_secret(secret, path),
        None => line(secret.expose()),
    }
}

/// Writes a secret to a file of mode 0600, replacing what was there as a whole.
pub fn save_secret(secret: &Secret<String>, path: &Path) -> Result<(), Failure> {
    let mut text = Secret::new(secret.expose().clone());
    text = Secret::new(format!("{}\n", text.expose()));
    jeton_host::files::write_private(path, text.expose().as_bytes()).map_err(Failure::usage)
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
