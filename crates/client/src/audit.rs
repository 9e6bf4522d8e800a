//! Checking an audit trail: offline, over an export, or entry by entry as it comes from an authority.

use std::io::{BufRead, Read};

use jeton_api::audit::{AuditHeadView, AuditView, EXPORT_FORMAT, ExportHeader};
use jeton_lifecycle::audit::{Broken, Checker, Entry, Extent, Head, Link};

/// The longest line that is read.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What a trail that checks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// How many entries.
    pub count: u64,
    /// The last of them.
    pub last: AuditHeadView,
    /// Whether these are all entries up to the last. Of a part only this is known: no entry in it was altered.
    pub whole: bool,
}

/// Why a trail does not check.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain is broken.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// A line is none of an export.
    #[error("line {line} is none of an audit export: {why}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

/// Checks entries in the order in which they come.
#[derive(Debug)]
pub struct AuditCheck {
    checker: Checker,
    head: Option<AuditHeadView>,
}

impl AuditCheck {
    /// Of a whole trail that ends in `head`, or of a part of one.
    #[must_use]
    pub const fn new(head: Option<AuditHeadView>) -> Self {
        let extent = if head.is_some() { Extent::Whole } else { Extent::Part };
        Self { checker: Checker::new(extent), head }
    }

    /// The next entry.
    ///
    /// # Errors
    /// [`Broken`], naming the entry.
    pub fn push(&mut self, view: AuditView) -> Result<(), Broken> {
        self.checker.push(&link(view))
    }

    /// After the last one.
    ///
    /// # Errors
    /// [`Broken`] if entries are missing at the end.
    pub fn finish(self) -> Result<Checked, Broken> {
        if let Some(head) = self.head {
            self.checker.finish(Head { seq: head.seq, hash: head.hash })?;
        }
        let Head { seq, hash } = self.checker.last();
        let last = AuditHeadView { seq, hash };
        Ok(Checked { count: self.checker.count(), last, whole: self.head.is_some() })
    }
}

/// Checks an export, as `jeton audit export` writes it.
///
/// # Errors
/// [`AuditError`], naming the entry or the line.
pub fn check(mut export: impl BufRead) -> Result<Checked, AuditError> {
    let mut number = 0;
    let header = read_line(&mut export, &mut number)?;
    let header: ExportHeader = match header {
        Some(text) => parse(&text, number)?,
        None => return Err(AuditError::Line { line: 1, why: "the file is empty".to_owned() }),
    };
    if header.format != EXPORT_FORMAT {
        let why = format!("its format is `{}`, and this jeton reads `{EXPORT_FORMAT}`", header.format);
        return Err(AuditError::Line { line: 1, why });
    }
    let mut check = AuditCheck::new(header.head);
    while let Some(text) = read_line(&mut export, &mut number)? {
        check.push(parse(&text, number)?)?;
    }
    Ok(check.finish()?)
}

fn read_line(export: &mut impl BufRead, number: &mut u64) -> Result<Option<Vec<u8>>, AuditError> {
    let mut line = Vec::new();
    if export.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    *number += 1;
    if line.pop() == Some(b'\n') {
        return Ok(Some(line));
    }
    let why = format!("it does not end, or is longer than {LINE_BYTES_MAX} bytes: the export was cut off");
    Err(AuditError::Line { line: *number, why })
}

fn parse<T: serde::de::DeserializeOwned>(text: &[u8], line: u64) -> Result<T, AuditError> {
    serde_json::from_slice(text).map_err(|error| AuditError::Line { line, why: error.to_string() })
}

fn link(view: AuditView) -> Link {
    let entry = Entry {
        seq: view.seq,
        revision: view.revision,
        at: view.at.into(),
        token: view.token_id,
        credential: view.credential_id,
        address: view.address,
        action: view.action,
        namespace: view.namespace,
        object: view.object,
        reason: view.reason,
    };
    Link { entry, previous: view.previous, hash: view.hash }
}
