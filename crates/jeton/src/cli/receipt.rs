//! `jeton receipt`.

use std::path::Path;

use jeton_api::{key::JwkSet, receipt::ReceiptPayload};
use jeton_types::RevocationId;

use super::{client, open_client, revoke::describe};
use crate::{
    args::ReceiptArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

/// The largest receipt that is read: a line for each of some thousand verifiers.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

pub async fn run(args: ReceiptArgs, json: bool) -> Outcome {
    match (&args.check, args.revocation) {
        (Some(file), _) => check(file, &args, json).await,
        (None, Some(id)) => show(id, &args, json).await,
        (None, None) => Err(Failure::usage("name a revocation (rev_…), or --check FILE")),
    }
}

async fn show(id: RevocationId, args: &ReceiptArgs, json: bool) -> Outcome {
    let client = client(&args.connection)?;
    if let Some(out) = &args.out {
        let jws = client.receipt(id).await?;
        // A receipt is no secret, but whoever may write it decides who may read it.
        jeton_host::files::write_private(out, jws.as_bytes()).map_err(|error| Failure::caused(Exit::Usage, &error))?;
        output::note(&format!("wrote {}; check it with `jeton receipt --check {}`", out.display(), out.display()));
    }
    let view = client.revocation(id).await?;
    if json {
        output::document(&view)?;
    } else if args.out.is_none() {
        output::line(&format!(
            "{} of {} at revision {}: {}",
            view.id, view.namespace, view.revision, view.receipt.state
        ))?;
        for line in &view.receipt.verifiers {
            output::line(&format!("  {}", describe(line)))?;
        }
    }
    Ok(if view.receipt.is_complete() { Exit::Done } else { Exit::Refused })
}

async fn check(file: &Path, args: &ReceiptArgs, json: bool) -> Outcome {
    let jws = read(file)?;
    let keys: JwkSet = match &args.keys {
        Some(keys) => serde_json::from_str(&read(keys)?).map_err(|error| {
            Failure::usage(format!("{}: not a JWK set ({error}); `jeton keys` prints one", keys.display()))
        })?,
        None => open_client(&args.connection.url)?.keys().await?,
    };
    let payload = jeton_client::receipt::check(&jws, &keys)
        .map_err(|error| Failure::new(Exit::Refused, format!("{} does not check: {error}", file.display())))?;
    if json {
        output::document(&payload)?;
    } else {
        print(&payload)?;
    }
    Ok(Exit::Done)
}

fn print(payload: &ReceiptPayload) -> Result<(), Failure> {
    output::line(&format!("good: {}", payload.statement))?;
    for line in &payload.verifiers {
        output::line(&format!("  {}", describe(line)))?;
    }
    output::line("it rests on:")?;
    for assumption in &payload.assumptions {
        output::line(&format!("  {}: {}", assumption.id, assumption.text))?;
    }
    output::line(&format!("note: {}", payload.note))
}

/// The file as it is, byte by byte: a receipt with a space too many is not the receipt that was signed.
fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;

    let open = || -> std::io::Result<String> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    open().map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => {
            Failure::new(Exit::Refused, format!("{} does not check: it is not text", path.display()))
        }
        _ => Failure::usage(format!("{}: {error}", path.display())),
    })
}
