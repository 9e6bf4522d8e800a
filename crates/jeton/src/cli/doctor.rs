//! `jeton doctor`: what is put right with the authority stopped.

use std::{path::PathBuf, sync::Arc};

use jeton_authority::{AuthorityConfig, doctor};
use jeton_host::clock::{OsEntropy, SystemClock};

use crate::{
    args::{DoctorCommand, DoctorRootTokenArgs},
    exit::{Exit, Outcome},
    output, serve,
};

pub async fn run(command: DoctorCommand, json: bool) -> Outcome {
    match command {
        DoctorCommand::RootToken(args) => root_token(args, json).await,
    }
}

async fn root_token(args: DoctorRootTokenArgs, json: bool) -> Outcome {
    let mut config = AuthorityConfig::new(args.data_dir.unwrap_or_else(|| PathBuf::from("./jeton-data")));
    config.root_token_file = args.root_token_file;
    let replaced =
        doctor::root_token(&config, Arc::new(SystemClock), Arc::new(OsEntropy)).await.map_err(serve::failure)?;
    if json {
        output::document(&serde_json::json!({
            "root_token": replaced.root_token,
            "credential": format!("jeton/{}", replaced.credential),
            "revocation": replaced.revocation,
            "revision": replaced.revision,
        }))?;
        return Ok(Exit::Done);
    }
    output::line(&format!(
        "the new root token of jeton/{} is in {}",
        replaced.credential,
        replaced.root_token.display()
    ))?;
    if let Some(revocation) = replaced.revocation {
        output::line(&format!(
            "every earlier one has ended: {revocation}; its receipt is completed by the next start"
        ))?;
    }
    Ok(Exit::Done)
}
