//! `jeton audit`.

use std::{
    fs::File,
    io::{BufReader, Write as _},
    path::Path,
};

use jeton_api::audit::{AuditHeadView, AuditQuery, AuditView, EXPORT_FORMAT, ExportHeader};
use jeton_client::{
    Client,
    audit::{AuditCheck, Checked, check},
};
use jeton_host::files::{FileError, PrivateFile};
use jeton_types::NamespaceName;
use serde::Serialize;

use super::client;
use crate::{
    args::{AuditCommand, AuditExportArgs, AuditListArgs, AuditVerifyArgs},
    exit::{Exit, Failure, Outcome},
    output,
};

pub async fn run(command: AuditCommand, json: bool) -> Outcome {
    match command {
        AuditCommand::List(args) => list(args, json).await,
        AuditCommand::Verify(args) => verify(args, json).await,
        AuditCommand::Export(args) => export(args, json).await,
    }
}

async fn list(args: AuditListArgs, json: bool) -> Outcome {
    let client = client(&args.connection)?;
    let mut entries = Vec::new();
    each(&client, args.namespace, None, |view| {
        entries.push(view);
        Ok(())
    })
    .await?;
    if json {
        output::document(&entries)?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 8]> = entries
        .into_iter()
        .map(|view| {
            [
                view.seq.to_string(),
                view.at.to_string(),
                actor(&view),
                output::or_dash(view.address.as_ref()),
                view.action,
                view.namespace.to_string(),
                view.object,
                output::or_dash(view.reason.as_ref()),
            ]
        })
        .collect();
    output::table(["SEQ", "AT", "ACTOR", "ADDRESS", "ACTION", "NAMESPACE", "OBJECT", "REASON"], &rows)?;
    Ok(Exit::Done)
}

fn actor(view: &AuditView) -> String {
    view.token_id.map_or_else(|| "system".to_owned(), |token| token.to_string())
}

/// Over an export, which needs no authority, or over what the authority has.
async fn verify(args: AuditVerifyArgs, json: bool) -> Outcome {
    let checked = match &args.file {
        Some(file) => offline(file)?,
        None => online(&client(&args.connection)?).await?,
    };
    if let Some(noted) = args.head
        && noted != checked.last.hash
    {
        return Err(refused(format!(
            "the newest entry is number {} with the hash {}, and not the one that was noted",
            checked.last.seq, checked.last.hash
        )));
    }
    if json {
        /// The outcome as a document.
        #[derive(Serialize)]
        struct Document {
            entries: u64,
            whole: bool,
            head: AuditHeadView,
        }
        output::document(&Document { entries: checked.count, whole: checked.whole, head: checked.last })?;
    } else if checked.whole {
        output::line(&format!("good: {} entries, none altered, missing or moved", checked.count))?;
        output::line(&format!("head: {} (keep it elsewhere; `--head` compares)", checked.last.hash))?;
    } else {
        output::line(&format!(
            "good as far as it goes: {} entries of the namespaces that you may read, none altered or moved",
            checked.count
        ))?;
        output::line("whether entries are missing shows only with the scope auditor@*, over all of them")?;
    }
    Ok(Exit::Done)
}

fn offline(file: &Path) -> Result<Checked, Failure> {
    let open = File::open(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    check(BufReader::new(open)).map_err(|error| refused(format!("{}: {error}", file.display())))
}

async fn online(client: &Client) -> Result<Checked, Failure> {
    let head = client.audit_head().await?;
    let mut checking = AuditCheck::new(head);
    each(client, None, head, |view| checking.push(view).map_err(refused)).await?;
    checking.finish().map_err(refused)
}

fn refused(broken: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Refused, format!("the audit trail does not check: {broken}"))
}

/// Page by page: of a long trail only one is in memory.
async fn export(args: AuditExportArgs, json: bool) -> Outcome {
    let client = client(&args.connection)?;
    let head = match &args.namespace {
        Some(_) => None,
        None => client.audit_head().await?,
    };
    let mut out = Export::prepare(args.out.as_deref())?;
    out.write(&ExportHeader { format: EXPORT_FORMAT.to_owned(), head })?;
    let mut count = 0_u64;
    each(&client, args.namespace, head, |view| {
        count += 1;
        out.write(&view)
    })
    .await?;
    out.finish()?;
    if let Some(out) = &args.out {
        if json {
            output::document(&serde_json::json!({ "entries": count, "head": head, "out": out }))?;
        } else {
            output::note(&format!("wrote {count} entries; check them with `jeton audit verify {}`", out.display()));
        }
    }
    Ok(Exit::Done)
}

/// Where an export goes.
enum Export {
    /// It names people and addresses; whoever may write the file decides who may read it.
    File(PrivateFile, Vec<u8>),
    Standard(std::io::StdoutLock<'static>, Vec<u8>),
}

impl Export {
    fn prepare(file: Option<&Path>) -> Result<Self, Failure> {
        Ok(match file {
            Some(file) => Self::File(PrivateFile::prepare(file).map_err(|error| caused(&error))?, Vec::new()),
            None => Self::Standard(std::io::stdout().lock(), Vec::new()),
        })
    }

    fn write<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let (Self::File(_, line) | Self::Standard(_, line)) = self;
        line.clear();
        serde_json::to_writer(&mut *line, value).map_err(Failure::internal)?;
        line.push(b'\n');
        match self {
            Self::File(file, line) => file.append(line).map_err(|error| caused(&error)),
            Self::Standard(out, line) => out.write_all(line).map_err(standard),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::File(file, _) => file.finish(&[]).map_err(|error| caused(&error)),
            Self::Standard(mut out, _) => out.flush().map_err(standard),
        }
    }
}

fn caused(error: &FileError) -> Failure {
    Failure::caused(Exit::Usage, error)
}

fn standard(error: std::io::Error) -> Failure {
    Failure::usage(format!("standard output: {error}"))
}

/// All entries up to `head` if there is one, page by page.
async fn each(
    client: &Client,
    namespace: Option<NamespaceName>,
    head: Option<AuditHeadView>,
    mut take: impl FnMut(AuditView) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut entries = client.audit(&AuditQuery { namespace, ..AuditQuery::default() });
    while let Some(view) = entries.next().await? {
        // What was done since is of the next export.
        if head.is_some_and(|head| view.seq > head.seq) {
            break;
        }
        take(view)?;
    }
    Ok(())
}
