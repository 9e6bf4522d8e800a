//! `jeton serve`.

use std::sync::Arc;

use jeton_authority::{Authority, StartClass, StartError};
use jeton_host::{
    clock::{OsEntropy, SystemClock},
    signal::shutdown_signal,
};

use crate::{
    args::ServeArgs,
    exit::{Exit, Failure, Outcome},
    output, settings,
};

pub async fn run(args: ServeArgs, json: bool) -> Outcome {
    let config = settings::resolve(args)?;
    // Before the first port opens, so that a stop in between is an orderly one.
    let stop = shutdown_signal().map_err(Failure::internal)?;
    let data_dir = config.data_dir.clone();
    let running = Authority::start(config, Arc::new(SystemClock), Arc::new(OsEntropy)).await.map_err(failure)?;
    if json {
        output::document(&serde_json::json!({
            "http": running.http_addr,
            "feed": running.feed_addr,
            "data_dir": data_dir,
            "root_token": running.root_token,
        }))?;
    } else {
        output::line(&format!("authority: http://{}, feed http://{}", running.http_addr, running.feed_addr))?;
        if let Some(root) = &running.root_token {
            output::line(&format!(
                "first start: the root token is in {0}; export JETON_URL=http://{1} JETON_TOKEN_FILE={0}",
                root.display(),
                running.http_addr
            ))?;
        }
    }
    running.run_until(stop).await.map_err(|stopped| Failure::internal(&stopped))?;
    Ok(Exit::Done)
}

/// Why an authority's folder could not be put to use.
pub fn failure(error: StartError) -> Failure {
    let exit = match error.class() {
        StartClass::Usage => Exit::Usage,
        StartClass::Internal => Exit::Internal,
    };
    Failure::caused(exit, &error)
}
