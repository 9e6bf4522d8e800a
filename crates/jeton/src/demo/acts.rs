//! The acts.

use std::time::Duration;

use jeton_api::{
    credential::RotateRequest,
    revocation::{LineState, RevocationView, RevokeRequest, SelectorRequest, Wait},
};
use jeton_types::{Secret, Span, TokenId};
use tokio::{task::JoinSet, time::Instant};

use super::{
    child::Child,
    eventually,
    probe::PATIENCE,
    stage::{CONTROL_TTL, Consumer, SHOP, SIDECARS, Stage, VAULT},
    tally::Tally,
    thief::Thief,
    view::View,
};
use crate::exit::Failure;

/// Tokens of the first act.
const NEW_TOKENS: usize = 100;
/// How many of them are revoked one by one, each with a receipt.
const REVOKED_TOKENS: usize = 50;
/// How long both tokens work in the rotation.
const OVERLAP: Span = Span::from_secs(10);
/// How long the authority stays dead.
const DEAD_FOR: Duration = Duration::from_secs(2);
/// The sidecar that is frozen.
const FROZEN: usize = 2;
/// How long anything may take that ought to be quick.
const LONG: Duration = Duration::from_secs(20);

/// A play in progress.
pub struct Play {
    view: View,
    stage: Stage,
    tally: Tally,
    new: Vec<(TokenId, Secret<String>)>,
    replaced: Vec<(String, Secret<String>, Instant)>,
    /// Thieves with tokens whose receipt is complete, and since when.
    watched: Vec<(Thief, Instant)>,
    control: Option<(Thief, Instant)>,
    receipt: Option<RevocationView>,
}

impl Play {
    pub fn new(view: View, stage: Stage) -> Self {
        let reports: Vec<_> = stage.consumers.iter().map(Consumer::reports).collect();
        view.live(move || {
            let (accepted, failed) = reports
                .iter()
                .map(|report| report())
                .fold((0, 0), |(accepted, failed), report| (accepted + report.accepted, failed + report.failed));
            format!("{accepted} legitimate requests accepted, {failed} failed")
        });
        Self {
            view,
            stage,
            tally: Tally::default(),
            new: Vec::new(),
            replaced: Vec::new(),
            watched: Vec::new(),
            control: None,
            receipt: None,
        }
    }

    /// A new token works at once, on every sidecar.
    pub async fn first_use(&mut self) -> Result<(), Failure> {
        self.view.act(1, "a new token works at once, on every sidecar")?;
        for number in 0..NEW_TOKENS {
            let issued = self.stage.issue(SHOP, &format!("partner-{number}"), &["orders:read"]).await?;
            self.tally.issued += 1;
            let mut asked = JoinSet::new();
            for address in self.stage.addresses.clone() {
                let (probe, secret) = (self.stage.probe.clone(), issued.secret.clone());
                asked.spawn(async move { probe.auth(address, &secret, LONG).await });
            }
            while let Some(status) = asked.join_next().await {
                self.tally.verified += 1;
                if status.ok().flatten() != Some(200) {
                    self.tally.first_use_failures += 1;
                }
            }
            self.new.push((issued.token, issued.secret));
        }
        let (failures, asked) = (self.tally.first_use_failures, NEW_TOKENS * SIDECARS);
        self.view.tell(&format!(
            "{NEW_TOKENS} tokens issued, each shown to three sidecars at once: {failures} of {asked} refused"
        ))?;

        let revoked = self.new.split_off(NEW_TOKENS - REVOKED_TOKENS);
        for (token, secret) in &revoked {
            self.revoke(SHOP, *token).await?;
            for address in &self.stage.addresses {
                if self.stage.probe.auth(*address, secret, LONG).await == Some(200) {
                    self.tally.accepted_after_receipt += 1;
                }
            }
        }
        let let_in = self.tally.accepted_after_receipt;
        self.view.tell(&format!(
            "{REVOKED_TOKENS} of them revoked, each until its receipt was complete, and shown again: {let_in} let in"
        ))
    }

    /// A rotation under load.
    pub async fn rotation(&mut self) -> Result<(), Failure> {
        self.view.act(2, "a rotation under load: nobody notices")?;
        for place in 0..self.stage.consumers.len() {
            let (credential, name, token_file) = {
                let consumer = &self.stage.consumers[place];
                (consumer.credential, consumer.name.clone(), consumer.token_file.clone())
            };
            let old = jeton_host::files::read_private(&token_file).map_err(Failure::internal)?;
            let rotated = self.stage.client.rotate(credential, &RotateRequest { overlap: Some(OVERLAP) }).await?;
            self.tally.rotations += 1;
            self.tally.issued += 1;
            let new = rotated.token.secret.0;
            crate::output::save_secret(&new, &token_file)?;
            let hint = rotated.token.hint;
            let consumer = &self.stage.consumers[place];
            if !eventually(LONG, || consumer.report().hint == hint).await {
                self.tally.wrong.push(format!("{name} did not take up its new token"));
            }
            if self.stage.probe.auth(self.stage.addresses[0], &old, LONG).await != Some(200) {
                self.tally.wrong.push(format!("the old token of {name} did not work during the overlap"));
            }
            self.view.tell(&format!(
                "{name} has moved to {hint}; its old token works on for {OVERLAP}, by a deadline in the data"
            ))?;
            self.replaced.push((name, old, Instant::now() + OVERLAP.duration()));
        }
        Ok(())
    }

    /// A thief with a copied token.
    pub async fn thief(&mut self) -> Result<(), Failure> {
        self.view.act(3, "a thief with a copied token; beside it a control, a cache with a TTL of 10 s")?;
        let victim = self.stage.issue(VAULT, "partner", &["doors:open"]).await?;
        self.tally.issued += 1;
        let thieves: Vec<Thief> = self
            .stage
            .addresses
            .iter()
            .map(|address| Thief::new(self.stage.probe.clone(), *address, victim.secret.clone()))
            .collect();
        let control = Thief::new(self.stage.probe.clone(), self.stage.control_address, victim.secret.clone());
        if !eventually(LONG, || thieves.iter().chain([&control]).all(|thief| thief.accepted() > 20)).await {
            self.tally.wrong.push("the copied token did not work in the first place".to_owned());
        }
        self.view.tell("the thief is let in everywhere")?;
        let revoked = Instant::now();
        let receipt = self.revoke(VAULT, victim.token).await?;
        let complete = Instant::now();
        if !eventually(LONG, || thieves.iter().all(|thief| thief.loot().first_refused.is_some())).await {
            self.tally.wrong.push("a thief got no answer of 401".to_owned());
        }
        let since = |moment: Option<Instant>| moment.map_or_else(|| "never".to_owned(), |at| offset(at, revoked));
        for (number, thief) in thieves.iter().enumerate() {
            let loot = thief.loot();
            let (last, first) = (since(loot.last_accepted), since(loot.first_refused));
            self.view.tell(&format!(
                "edge-{}: last 200 sent {last} after the revocation began, first 401 {first} after",
                number + 1
            ))?;
        }
        let lines: Vec<String> =
            receipt.receipt.verifiers.iter().map(|line| format!("{} {}", line.id, line.state)).collect();
        self.view.tell(&format!(
            "receipt {} {} after {}: {}",
            receipt.id,
            receipt.receipt.state,
            offset(complete, revoked),
            lines.join(", ")
        ))?;
        let still = control.loot();
        if still.first_refused.is_none() {
            self.view.tell("the control still lets the thief in")?;
        }
        self.watched.extend(thieves.into_iter().map(|thief| (thief, complete)));
        self.control = Some((control, revoked));
        self.receipt = Some(receipt);
        Ok(())
    }

    /// A frozen sidecar.
    pub async fn freeze(&mut self) -> Result<(), Failure> {
        self.view.act(4, "a frozen sidecar cannot hold a revocation up, and accepts nothing when it wakes")?;
        let badge = self.stage.issue(VAULT, "badge", &["doors:open"]).await?;
        self.tally.issued += 1;
        let frozen = self.stage.addresses[FROZEN];
        if self.stage.probe.auth(frozen, &badge.secret, LONG).await != Some(200) {
            self.tally.first_use_failures += 1;
        }
        self.tally.verified += 1;
        self.stage.freeze(FROZEN)?;
        self.view.tell("edge-3 is frozen (SIGSTOP); revoking a token that it knows")?;
        let started = Instant::now();
        let receipt = self.revoke(VAULT, badge.token).await?;
        let complete = Instant::now();
        let fenced = receipt
            .receipt
            .verifiers
            .iter()
            .any(|line| line.id.as_str() == "edge-3" && line.state == LineState::Fenced);
        if !fenced {
            self.tally.wrong.push("the receipt does not name edge-3 fenced".to_owned());
        }
        self.view.tell(&format!(
            "receipt complete after {}: edge-3 fenced, its lease is over and cannot come back",
            offset(complete, started)
        ))?;

        // This request waits in the frozen process's socket and is the first thing that it sees when it wakes.
        let (probe, secret) = (self.stage.probe.clone(), badge.secret.clone());
        let waiting = tokio::spawn(async move { probe.auth(frozen, &secret, LONG).await });
        tokio::time::sleep(PATIENCE).await;
        self.stage.wake(FROZEN)?;
        let first = waiting.await.map_err(Failure::internal)?;
        match first {
            Some(200) => self.tally.accepted_after_receipt += 1,
            Some(503 | 401) => {}
            other => self.tally.wrong.push(format!("edge-3 answered {other:?} when it woke")),
        }
        let answer = first.map_or_else(|| "nothing".to_owned(), |status| status.to_string());
        // 503 means "again": it is ready for a namespace in grace before it has a lease for the strict one.
        let started = Instant::now();
        let mut later = Some(503);
        while later == Some(503) && started.elapsed() < LONG {
            tokio::time::sleep(Duration::from_millis(20)).await;
            later = self.stage.probe.auth(frozen, &badge.secret, LONG).await;
        }
        if later != Some(401) {
            self.tally.wrong.push(format!("edge-3 answered {later:?} once it had caught up, not 401"));
        }
        self.view.tell(&format!("edge-3 woke and answered {answer}; caught up, it answers 401"))?;
        Ok(())
    }

    /// The authority killed under traffic.
    pub async fn authority_killed(&mut self) -> Result<(), Failure> {
        self.view.act(5, "the authority is killed with -9 under traffic")?;
        let before = self.failed();
        self.stage.kill_authority().await?;
        self.view.tell("killed; the sidecars go on under their leases and grace")?;
        tokio::time::sleep(DEAD_FOR).await;
        self.stage.restart_authority().await?;
        for place in 0..SIDECARS {
            self.stage.until_ready(place).await?;
        }
        let issued = self.stage.issue(SHOP, "after-the-crash", &["orders:read"]).await?;
        self.tally.issued += 1;
        for place in 0..SIDECARS {
            let mut status = None;
            let started = Instant::now();
            // A sidecar that has not found back yet says 503, which means "again"; it must not say 401.
            while started.elapsed() < LONG {
                status = self.stage.probe.auth(self.stage.addresses[place], &issued.secret, LONG).await;
                if status != Some(503) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            self.tally.verified += 1;
            if status != Some(200) {
                self.tally.first_use_failures += 1;
            }
        }
        let kept = self.new.first().map(|(_, secret)| secret.clone());
        if let Some(secret) = kept
            && self.stage.probe.auth(self.stage.addresses[0], &secret, LONG).await != Some(200)
        {
            self.tally.wrong.push("a token issued before the crash is gone".to_owned());
        }
        let failed = self.failed() - before;
        self.view.tell(&format!(
            "dead for {DEAD_FOR:?} and back: {failed} legitimate requests failed; new tokens work on every sidecar"
        ))?;
        Ok(())
    }

    /// The overlap of the rotation ends by itself.
    pub async fn old_tokens_end(&mut self) -> Result<(), Failure> {
        self.view.act(6, "the overlap ends at every verifier, without a job that has to run")?;
        for (name, old, until) in std::mem::take(&mut self.replaced) {
            tokio::time::sleep_until(until).await;
            for address in &self.stage.addresses {
                if self.stage.probe.auth(*address, &old, LONG).await != Some(401) {
                    self.tally.wrong.push(format!("the old token of {name} works on after its overlap"));
                }
            }
            self.view.tell(&format!("the old token of {name} is expired everywhere"))?;
        }
        if let Some((control, revoked)) = self.control.take() {
            let ended = eventually(LONG, || control.loot().first_refused.is_some()).await;
            let last = control.loot().last_accepted.map_or_else(|| "never".to_owned(), |at| offset(at, revoked));
            if !ended {
                self.tally.wrong.push("the control never refused".to_owned());
            }
            self.view.tell(&format!(
                "the control, a cache with a TTL of {CONTROL_TTL}, let the thief in until {last} after the revocation"
            ))?;
        }
        Ok(())
    }

    /// Lets the traffic run until `moment`.
    pub async fn until(&self, moment: Instant) {
        tokio::time::sleep_until(moment).await;
    }

    /// Everything is stopped, and the receipt is checked offline.
    pub async fn receipt_offline(&mut self) -> Result<(), Failure> {
        self.view.act(7, "everything is stopped; the receipt is checked offline")?;
        self.stage.stop_consumers().await?;
        self.tally.failed_legitimate = self.failed();
        for consumer in &self.stage.consumers {
            let report = consumer.report();
            self.tally.verified += report.accepted;
            let why = report.last_failure.map_or_else(String::new, |status| format!(" (last status {status})"));
            self.view.tell(&format!(
                "{}: {} requests accepted, {} failed{why}, {} times on to the next sidecar",
                consumer.name, report.accepted, report.failed, report.moved_on
            ))?;
            if report.accepted == 0 {
                self.tally.wrong.push(format!("{} had no request accepted", consumer.name));
            }
        }
        for (thief, complete) in &self.watched {
            self.tally.accepted_after_receipt += thief.accepted_after(*complete);
        }
        self.watched.clear();
        let Some(receipt) = self.receipt.take() else { return Ok(()) };
        let (jws, keys) = (self.stage.file("r.jws"), self.stage.file("k.json"));
        let text = self.stage.client.receipt(receipt.id).await?;
        std::fs::write(&jws, text).map_err(Failure::usage)?;
        let set = self.stage.client.keys().await?;
        std::fs::write(&keys, serde_json::to_vec(&set).map_err(Failure::internal)?).map_err(Failure::usage)?;
        self.stage.stop().await?;
        let (jws, keys) = (jws.display().to_string(), keys.display().to_string());
        let mut check = Child::start("the check", &["receipt", "--check", &jws, "--keys", &keys])?;
        let said = match check.lines() {
            Some(mut lines) => {
                let first = lines.next_line().await.ok().flatten().unwrap_or_default();
                // To the end: whoever writes into a pipe that nobody reads fails.
                while let Ok(Some(_)) = lines.next_line().await {}
                first
            }
            None => String::new(),
        };
        if !check.finish().await? {
            self.tally.wrong.push("the receipt does not check".to_owned());
        }
        self.view.tell(&said)
    }

    /// What was counted, and the stage.
    pub fn end(self) -> (Tally, Stage) {
        (self.tally, self.stage)
    }

    /// Revokes one token and waits for the complete receipt.
    async fn revoke(&mut self, namespace: &str, token: TokenId) -> Result<RevocationView, Failure> {
        let request = RevokeRequest {
            selector: SelectorRequest::token_id(token),
            reason: None,
            wait: Wait::Complete,
            timeout_ms: u64::try_from(LONG.as_millis()).ok().and_then(|millis| millis.try_into().ok()),
            dry_run: false,
        };
        let started = Instant::now();
        let namespace = namespace.parse().map_err(Failure::internal)?;
        let view = self.stage.client.revoke(&namespace, &request).await?;
        self.tally.revocations += 1;
        if view.receipt.is_complete() {
            self.tally.receipts.push(started.elapsed());
        } else {
            self.tally.wrong.push(format!("the receipt of {} was not complete within {LONG:?}", view.id));
        }
        Ok(view)
    }

    fn failed(&self) -> u64 {
        self.stage.consumers.iter().map(|consumer| consumer.report().failed).sum()
    }
}

/// How long after `from` a moment is; negative if it is before.
fn offset(moment: Instant, from: Instant) -> String {
    let millis = |span: Duration| span.as_secs_f64() * 1_000.0;
    match moment.checked_duration_since(from) {
        Some(after) => format!("{:.1} ms", millis(after)),
        None => format!("-{:.1} ms", millis(from.duration_since(moment))),
    }
}
