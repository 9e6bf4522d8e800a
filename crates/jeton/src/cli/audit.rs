//! `jeton audit`.

use std::{
    fs::File,
    io::{BufReader, Write as _},
    path::Path,
};

use jeton_api::{
    audit::{AuditHeadView, AuditView, EXPORT_FORMAT, ExportHeader},
    page::{LIMIT_MAX, Page},
    problem::Code,
};
use jeton_authority::audit::{AuditCheck, Checked, check};
use jeton_client::http::{ApiClient, CallError};
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
    each(&client, args.namespace.as_ref(), None, |view| {
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

async fn online(client: &ApiClient) -> Result<Checked, Failure> {
    let head = head(client).await?;
    let mut checking = AuditCheck::new(head);
    each(client, None, head, |view| checking.push(view).map_err(refused)).await?;
    checking.finish().map_err(refused)
}

fn refused(broken: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Refused, format!("the audit trail does not check: {broken}"))
}

async fn export(args: AuditExportArgs, json: bool) -> Outcome {
    let client = client(&args.connection)?;
    let head = match &args.namespace {
        Some(_) => None,
        None => head(&client).await?,
    };
    let mut text = Vec::new();
    write_line(&mut text, &ExportHeader { format: EXPORT_FORMAT.to_owned(), head })?;
    let mut count = 0_u64;
    each(&client, args.namespace.as_ref(), head, |view| {
        count += 1;
        write_line(&mut text, &view)
    })
    .await?;
    match &args.out {
        Some(out) => {
            // It names people and addresses; whoever may write it decides who may read it.
            jeton_host::files::write_private(out, &text).map_err(Failure::usage)?;
            if json {
                output::document(&serde_json::json!({ "entries": count, "head": head, "out": out }))?;
            } else {
                output::note(&format!("wrote {count} entries; check them with `jeton audit verify {}`", out.display()));
            }
        }
        None => {
            let mut out = std::io::stdout().lock();
            out.write_all(&text)
                .and_then(|()| out.flush())
                .map_err(|error| Failure::usage(format!("standard output: {error}")))?;
        }
    }
    Ok(Exit::Done)
}

fn write_line<T: Serialize>(text: &mut Vec<u8>, value: &T) -> Result<(), Failure> {
    serde_json::to_writer(&mut *text, value).map_err(Failure::internal)?;
    text.push(b'\n');
    Ok(())
}

/// The newest entry; none for whoever may read some namespaces only.
async fn head(client: &ApiClient) -> Result<Option<AuditHeadView>, Failure> {
    match client.get("/v1/audit/head").await {
        Ok(head) => Ok(Some(head)),
        Err(CallError::Problem(problem)) if problem.code == Code::Forbidden => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// All entries up to `head` if there is one, page by page.
async fn each(
    client: &ApiClient,
    namespace: Option<&NamespaceName>,
    head: Option<AuditHeadView>,
    mut take: impl FnMut(AuditView) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let only = namespace.map(|namespace| format!("&namespace={namespace}")).unwrap_or_default();
    let mut after = String::new();
    loop {
        let page: Page<AuditView> = client.get(&format!("/v1/audit?limit={LIMIT_MAX}{only}{after}")).await?;
        for view in page.items {
            // What was done since is of the next export.
            if head.is_some_and(|head| view.seq > head.seq) {
                return Ok(());
            }
            take(view)?;
        }
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(()),
        }
    }
}
