//! `jeton sidecar`.

use std::sync::Arc;

use jeton_client::feed::TokenSource;
use jeton_edge::sidecar::{Sidecar, SidecarConfig};
use jeton_host::{
    clock::{OsEntropy, SystemClock},
    signal::shutdown_signal,
};
use jeton_types::VerifierName;

use crate::{
    args::SidecarArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

pub async fn run(args: SidecarArgs, json: bool) -> Outcome {
    let name = match args.id {
        Some(name) => name,
        None => host_name()?,
    };
    // Looked at here because it is a mistake that time does not cure; a file that turns bad later only leaves the old
    // token in use.
    jeton_client::read_token(&args.token_file)?;
    let config = SidecarConfig {
        feed_url: args.feed,
        namespaces: args.namespace,
        token: TokenSource::File(args.token_file),
        http: args.http,
        plaintext: args.plaintext,
        name: name.clone(),
        drain: args.drain.duration(),
        state_dir: args.state_dir.clone(),
        client_address_header: args.client_address_header,
    };
    let stop = shutdown_signal().map_err(Failure::internal)?;
    let running = Sidecar::start(config, Arc::new(SystemClock), Arc::new(OsEntropy))
        .await
        .map_err(|error| Failure::caused(Exit::Usage, &error))?;
    let session = running.verifier().status().session;
    if json {
        output::document(&serde_json::json!({ "http": running.http_addr, "id": name, "session": session }))?;
    } else {
        output::line(&format!("sidecar {name}: http://{}, session {session}", running.http_addr))?;
        match &args.state_dir {
            Some(folder) => output::note(&format!(
                "state folder {}: the next process that starts with it ends this one's session at once, and goes on from what it held",
                folder.display()
            )),
            None => output::note(
                "nothing is kept on disk: should this process be killed, receipts wait until its lease and grace have passed \
                 (see --state-dir)",
            ),
        }
    }
    tokio::select! {
        _ = stop => {}
        // Every answer is 503 from here on; whoever supervises the process starts another.
        () = running.verifier().failed() => return Err(Failure::internal("the verifier's driver died; start the sidecar again")),
    }
    running.shutdown().await;
    Ok(Exit::Done)
}

fn host_name() -> Result<VerifierName, Failure> {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy().into_owned();
    name.parse()
        .map_err(|error| Failure::usage(format!("the host's name `{name}` cannot be used: {error}; give --id NAME")))
}
