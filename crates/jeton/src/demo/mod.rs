//! `jeton demo`: a token's whole life, with real processes and real traffic.
//!
//! An authority, three sidecars and two consumers run as child processes on the embedded store in a temporary folder.
//! The acts follow one another while the consumers go on sending requests; what must not happen is counted, and the
//! demo fails if it did.

mod acts;
mod child;
pub mod consumer;
pub mod control;
mod probe;
mod stage;
mod tally;
mod thief;
mod view;

use std::time::Duration;

use tokio::time::{Instant, interval};

use self::{acts::Play, stage::Stage, view::View};
use crate::{
    args::DemoArgs,
    exit::{Exit, Failure, Outcome},
    output,
};

pub async fn run(args: DemoArgs) -> Outcome {
    let stop = jeton_host::signal::shutdown_signal().map_err(Failure::internal)?;
    let view = View::new(args.headless);
    let tally = tokio::select! {
        played = play(&view, &args) => played,
        _ = stop => Err(Failure::new(Exit::Refused, "the demo was interrupted")),
    };
    view.end();
    let (tally, mut stage) = tally?;
    tally.print()?;
    if !args.headless {
        stay(&mut stage).await?;
    }
    Ok(if tally.held() { Exit::Done } else { Exit::Refused })
}

async fn play(view: &View, args: &DemoArgs) -> Result<(tally::Tally, Stage), Failure> {
    let started = Instant::now();
    view.act(0, "the stage: an authority, three sidecars, two consumers")?;
    let stage = Stage::set(view).await?;
    let mut play = Play::new(view.clone(), stage);
    play.first_use().await?;
    play.rotation().await?;
    play.thief().await?;
    play.freeze().await?;
    play.authority_killed().await?;
    play.old_tokens_end().await?;
    play.until(started + args.length.duration()).await;
    play.receipt_offline().await?;
    Ok(play.end())
}

/// Brings the stage back up, says what to try by hand, and stays until it is told to go.
async fn stay(stage: &mut Stage) -> Result<(), Failure> {
    stage.restart_authority().await?;
    stage.restart_sidecars().await?;
    let root = stage.file("data/root.token");
    let mine = stage.issue(stage::VAULT, "yours", &["doors:open"]).await?;
    let token = stage.save(&mine.secret, "yours.token")?;
    let program = std::env::current_exe().map_err(Failure::internal)?;
    let (program, root, token, url) = (program.display(), root.display(), token.display(), stage.url());
    output::line("")?;
    output::line("Everything is up again. Try it by hand, in another terminal:")?;
    output::line(&format!("  export JETON_URL={url} JETON_TOKEN_FILE={root}"))?;
    output::line(&format!("  curl -i -H \"Authorization: Bearer $(cat {token})\" http://{}/auth", stage.addresses[0]))?;
    output::line(&format!("  {program} verifiers"))?;
    output::line(&format!("  {program} rotate vault/yours --overlap 1m"))?;
    output::line(&format!("  {program} revoke vault/yours --wait"))?;
    output::line("Ctrl-C ends it and removes its folder.")?;
    jeton_host::signal::shutdown_signal().map_err(Failure::internal)?.await;
    stage.stop().await
}

/// Looks again and again until `done`, at most `patience` long. Says whether it came about.
async fn eventually(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    let mut beat = interval(Duration::from_millis(20));
    while started.elapsed() < patience {
        beat.tick().await;
        if done() {
            return true;
        }
    }
    done()
}
