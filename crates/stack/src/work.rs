//! Whoever uses the system: programs that change things over HTTP, and look at once, at some verifier, what became of it.

use std::{rc::Rc, time::Duration};

use http::Method;
use jeton_testkit::Dice;
use serde_json::{Value, json};
use tokio::{task::spawn_local, time::sleep};

use crate::{
    token::{Deadline, Token},
    web::{Answer, Call},
    world::{API_PORT, AUTHORITY, NAMESPACES, Phase, SIDECAR_PORT, Stage},
};

/// How long faults go on.
const FAULTS: Duration = Duration::from_secs(45);
const WORKERS: usize = 2;
/// How often something is asked for before whoever asks puts it off.
const TRIES: usize = 6;
const WITHIN: Duration = Duration::from_millis(2_500);
const PAUSE: Duration = Duration::from_millis(300);
/// After healing, by when every sidecar must answer again. Two heartbeats and what a dead connection takes to be noticed.
const READY_WITHIN: Duration = Duration::from_secs(40);
/// And by when every receipt must be complete: the longest grace, counted out, on a slow clock.
const RECEIPTS_WITHIN: Duration = Duration::from_secs(60);
/// The longest grace that is ever asked for.
const GRACES: [&str; 3] = ["strict", "grace=3s", "grace=8s"];
pub(crate) const OVERLAP: Duration = Duration::from_secs(20);

/// One program.
pub(crate) struct Worker {
    stage: Rc<Stage>,
    dice: Dice,
    name: String,
    root: String,
    keys: usize,
    /// Its own: nobody else changes them.
    tokens: Vec<Token>,
    /// Mutations of which nobody knows whether they were made: asked again once all is whole.
    unsettled: Vec<Mutation>,
}

/// A mutation and the key under which it is made once.
#[derive(Debug, Clone)]
struct Mutation {
    method: Method,
    path: String,
    key: String,
    body: Value,
}

/// The whole of it: setting up, working while things go wrong, and looking whether all is good in the end.
pub(crate) async fn run(stage: Rc<Stage>, mut dice: Dice) -> turmoil::Result {
    let root = Worker::new(&stage, &mut dice, "setup", String::new()).set_up().await;
    stage.phase.set(Phase::Faults);
    let mut working = Vec::new();
    for number in 0..WORKERS {
        let worker = Worker::new(&stage, &mut dice, &format!("w{number}"), root.clone());
        working.push(spawn_local(worker.work()));
    }
    let mut workers = Vec::new();
    for one in working {
        workers.push(one.await?);
    }
    stage.phase.set(Phase::Healing);
    while stage.phase.get() != Phase::Healed {
        sleep(PAUSE).await;
    }
    for worker in &mut workers {
        worker.conclude().await;
    }
    Ok(())
}

pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

impl Worker {
    fn new(stage: &Rc<Stage>, dice: &mut Dice, name: &str, root: String) -> Self {
        Self {
            stage: Rc::clone(stage),
            dice: dice.split(),
            name: name.to_owned(),
            root,
            keys: 0,
            tokens: Vec::new(),
            unsettled: Vec::new(),
        }
    }

    fn note(&self, line: String) {
        self.stage.history.borrow_mut().note(now(), line);
    }

    fn violation(&self, what: String) {
        self.stage.history.borrow_mut().violation(now(), what);
    }

    fn counts(&self, count: impl FnOnce(&mut crate::history::Counts)) {
        count(&mut self.stage.history.borrow_mut().counts);
    }

    /// Answers the root token.
    async fn set_up(mut self) -> String {
        while self.api(Method::GET, "/readyz", None, None).await.is_none_or(|answer| answer.status != 200) {
            sleep(PAUSE).await;
        }
        self.root = self.stage.root_token().unwrap_or_default();
        for (name, freshness) in NAMESPACES.iter().zip(GRACES) {
            let body = json!({"name": name, "prefix": name, "freshness": freshness});
            self.change(Method::POST, "/v1/namespaces", body).await;
        }
        let scopes: Vec<String> = NAMESPACES.iter().map(|name| format!("verifier@{name}")).collect();
        let body = json!({"name": "edges", "scopes": scopes});
        let issued = self.change(Method::POST, "/v1/namespaces/jeton/credentials", body).await;
        match issued.as_ref().and_then(|answer| answer.json()["token"]["secret"].as_str().map(str::to_owned)) {
            Some(token) => self.stage.token_give(token),
            None => self.violation("the sidecars' own token was not issued".to_owned()),
        }
        self.all_ready().await;
        self.root
    }

    async fn all_ready(&self) {
        let began = now();
        for machine in self.stage.sidecars() {
            loop {
                let call = self.call(&machine.name, SIDECAR_PORT, Method::GET, "/readyz", None, None);
                if call.send().await.is_some_and(|answer| answer.status == 200) {
                    self.note(format!("ready {}", machine.name));
                    break;
                }
                if now() > began + READY_WITHIN {
                    self.violation(format!(
                        "{} was not ready within {READY_WITHIN:?} though nothing was in its way",
                        machine.name
                    ));
                    break;
                }
                sleep(PAUSE).await;
            }
        }
    }

    async fn work(mut self) -> Self {
        let ends = now() + FAULTS;
        while now() < ends {
            match self.dice.below(20) {
                0..5 => self.issue().await,
                5..7 => self.rotate().await,
                7..9 => self.revoke().await,
                9..11 => self.look_at_receipts().await,
                11 => self.policy().await,
                _ => self.verify_some().await,
            }
            sleep(self.dice.between(Duration::from_millis(5), Duration::from_millis(400))).await;
        }
        self
    }

    async fn issue(&mut self) {
        let namespace = *self.dice.pick(&NAMESPACES);
        let name = format!("{}-{}", self.name, self.keys);
        let path = format!("/v1/namespaces/{namespace}/credentials");
        let mutation = self.mutation(Method::POST, &path, json!({"name": name, "scopes": ["orders:read"]}));
        let Some(answer) = self.make(&mutation).await else { return };
        let Some(token) = Token::issued(namespace, &name, &answer) else {
            return self.violation(format!("an issue was answered {} without a token: {}", answer.status, answer.text));
        };
        self.note(format!("issued {}", token.label));
        let (at, again) = (self.tokens.len(), self.dice.below(3) == 0);
        let secret = token.secret.clone();
        self.tokens.push(token);
        self.verify(at).await;
        if again {
            self.same_again(&mutation, &secret).await;
        }
    }

    /// Asks for what was done under the same key, and must get the same secret.
    async fn same_again(&mut self, mutation: &Mutation, secret: &str) {
        if let Some(answer) = self.make(mutation).await
            && answer.json()["token"]["secret"].as_str() != Some(secret)
        {
            self.violation(format!("key {} did not give the same secret again: {}", mutation.key, answer.status));
        }
    }

    async fn rotate(&mut self) {
        let free =
            |token: &Token| token.newest && token.deadline.is_none() && token.ended_from.is_none() && !token.rotated;
        let Some(at) = self.pick(free) else { return };
        let path = format!("/v1/credentials/{}/rotate", self.tokens[at].credential);
        let mutation = self.mutation(Method::POST, &path, json!({"overlap": format!("{}s", OVERLAP.as_secs())}));
        let asked = now();
        self.tokens[at].deadline = Some(Deadline::from_asked(asked));
        let Some(answer) = self.make(&mutation).await else { return };
        let old = &mut self.tokens[at];
        (old.newest, old.deadline) = (false, Some(Deadline::answered(asked, now())));
        let (namespace, name) = (old.namespace, old.name.clone());
        let Some(mut token) = Token::issued(namespace, &name, &answer) else {
            return self
                .violation(format!("a rotation was answered {} without a token: {}", answer.status, answer.text));
        };
        token.rotated = true;
        self.note(format!("rotated {} to {}", self.tokens[at].label, token.label));
        let next = self.tokens.len();
        let secret = token.secret.clone();
        self.tokens.push(token);
        self.verify(next).await;
        self.verify(at).await;
        if self.dice.below(3) == 0 {
            self.same_again(&mutation, &secret).await;
        }
    }

    async fn revoke(&mut self) {
        let Some(at) = self.pick(|token| token.ended_from.is_none()) else { return };
        let (namespace, name) = (self.tokens[at].namespace, self.tokens[at].name.clone());
        let path = format!("/v1/namespaces/{namespace}/revocations");
        let wait = if self.dice.below(2) == 0 { json!({"wait": "complete", "timeout_ms": 1_500}) } else { json!({}) };
        let mut body = json!({"selector": {"credential": format!("{namespace}/{name}")}, "reason": "leaked"});
        if let (Some(body), Some(wait)) = (body.as_object_mut(), wait.as_object()) {
            body.extend(wait.clone());
        }
        let mutation = self.mutation(Method::POST, &path, body);
        let asked = now();
        for token in self.of_credential(namespace, &name) {
            token.ended_from = Some(asked);
        }
        let answer = self.make(&mutation).await;
        let Some(answer) = answer else { return };
        let told = answer.json();
        let Some(id) = told["id"].as_str().map(str::to_owned) else {
            return self.violation(format!("a revocation was answered {}: {}", answer.status, answer.text));
        };
        for token in self.of_credential(namespace, &name) {
            token.revocation = Some(id.clone());
        }
        self.note(format!("revoked {namespace}/{name}# under {id}"));
        self.receipt_seen(&id, &told);
        self.verify(at).await;
    }

    fn of_credential<'a>(&'a mut self, namespace: &'a str, name: &'a str) -> impl Iterator<Item = &'a mut Token> {
        self.tokens.iter_mut().filter(move |token| token.namespace == namespace && token.name == name)
    }

    /// Takes in what a revocation's receipt says, which never says less than before.
    fn receipt_seen(&mut self, id: &str, told: &Value) {
        let complete = told["receipt"]["state"] == "complete";
        let (at, mut fresh, mut label) = (now(), false, String::new());
        let before =
            self.tokens.iter().any(|token| token.revocation.as_deref() == Some(id) && token.complete_at.is_some());
        for token in self.tokens.iter_mut().filter(|token| token.revocation.as_deref() == Some(id)) {
            label.clone_from(&token.label);
            if complete && token.complete_at.is_none() {
                (token.complete_at, fresh) = (Some(at), true);
            }
        }
        if fresh {
            self.counts(|counts| counts.complete += 1);
            self.note(format!("receipt complete for {label}"));
        }
        if before && !complete {
            self.violation(format!("S18: the receipt for {label} was complete and is {}", told["receipt"]["state"]));
        }
    }

    async fn look_at_receipts(&mut self) {
        let Some(at) = self.pick(|token| token.revocation.is_some()) else { return };
        let Some(id) = self.tokens[at].revocation.clone() else { return };
        self.receipt_look(&id).await;
    }

    async fn receipt_look(&mut self, id: &str) {
        match self.api(Method::GET, &format!("/v1/revocations/{id}"), None, None).await {
            Some(answer) if answer.status == 200 => self.receipt_seen(id, &answer.json()),
            Some(answer) if answer.status.is_server_error() => {}
            Some(answer) => {
                self.violation(format!("S12: revocation {id} was acknowledged and is answered {}", answer.status))
            }
            None => {}
        }
    }

    async fn policy(&mut self) {
        let (namespace, freshness) = (*self.dice.pick(&NAMESPACES), *self.dice.pick(&GRACES));
        let path = format!("/v1/namespaces/{namespace}");
        let mutation = self.mutation(Method::PATCH, &path, json!({"freshness": freshness}));
        if self.make(&mutation).await.is_some() {
            self.note(format!("policy of {namespace} is {freshness}"));
        }
    }

    async fn verify_some(&mut self) {
        if let Some(at) = self.pick(|_| true) {
            self.verify(at).await;
        }
    }

    /// Asks some verifier, in one of the two ways, what it says of a token, and judges that.
    async fn verify(&mut self, at: usize) {
        let sidecar = self.dice.below(self.stage.hosts.len() + 1);
        self.verify_at(at, sidecar % self.stage.hosts.len()).await;
    }

    /// `host` 0 is the authority. True if it was answered.
    async fn verify_at(&mut self, at: usize, host: usize) -> bool {
        let (name, secret) = (self.stage.hosts[host].name.clone(), self.tokens[at].secret.clone());
        let by_auth = host > 0 && self.dice.below(2) == 0;
        let call = if by_auth {
            Call { bearer: Some(secret), ..self.call(&name, SIDECAR_PORT, Method::GET, "/auth", None, None) }
        } else {
            let port = if host == 0 { API_PORT } else { SIDECAR_PORT };
            self.call(&name, port, Method::POST, "/v1/verify", None, Some(json!({"token": secret})))
        };
        let asked = now();
        let answer = call.send().await;
        let token = &self.tokens[at];
        let (verdict, word) = token.judge(asked, now(), by_auth, answer.as_ref());
        let label = &token.label;
        self.note(format!("asked {name} since {:.3} s about {label} : {word}", asked.as_secs_f64()));
        self.counts(|counts| match word.as_str() {
            "valid" => counts.valid += 1,
            "none" | "unavailable" => counts.unavailable += 1,
            _ => counts.invalid += 1,
        });
        if let Err(what) = verdict {
            self.violation(format!("{what} {label} at {name}, asked at {:.3} s", asked.as_secs_f64()));
        }
        !matches!(word.as_str(), "none" | "unavailable")
    }

    fn pick(&mut self, wanted: impl Fn(&Token) -> bool) -> Option<usize> {
        let fits: Vec<usize> = (0..self.tokens.len()).filter(|at| wanted(&self.tokens[*at])).collect();
        if fits.is_empty() { None } else { Some(*self.dice.pick(&fits)) }
    }

    /// All is whole: everything must work, and everything that was acknowledged must be there.
    async fn conclude(&mut self) {
        self.all_ready().await;
        for mutation in std::mem::take(&mut self.unsettled) {
            if self.make(&mutation).await.is_none() {
                self.violation(format!("{} {} was not settled though all is whole", mutation.method, mutation.path));
            }
        }
        let began = now();
        let revocations: std::collections::BTreeSet<String> =
            self.tokens.iter().filter_map(|token| token.revocation.clone()).collect();
        for id in &revocations {
            loop {
                self.receipt_look(id).await;
                if !self.tokens.iter().any(|token| token.revocation.as_ref() == Some(id) && token.complete_at.is_none())
                {
                    break;
                }
                if now() > began + RECEIPTS_WITHIN {
                    self.violation(format!("L1: the receipt of {id} was not complete within {RECEIPTS_WITHIN:?}"));
                    break;
                }
                sleep(PAUSE).await;
            }
        }
        let credentials: std::collections::BTreeSet<String> =
            self.tokens.iter().map(|token| token.credential.clone()).collect();
        for id in credentials {
            let answer = self.api(Method::GET, &format!("/v1/credentials/{id}"), None, None).await;
            if answer.is_none_or(|answer| answer.status != 200) {
                self.violation(format!("S12: credential {id} was acknowledged and is not there"));
            }
        }
        for at in 0..self.tokens.len() {
            for host in 0..self.stage.hosts.len() {
                let mut tries = 0;
                while !self.verify_at(at, host).await {
                    tries += 1;
                    if tries == TRIES {
                        let (label, name) = (&self.tokens[at].label, &self.stage.hosts[host].name);
                        self.violation(format!("L3: no answer about {label} at {name} though all is whole"));
                        break;
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn mutation(&mut self, method: Method, path: &str, body: Value) -> Mutation {
        self.keys += 1;
        Mutation { method, path: path.to_owned(), key: format!("{}-{}", self.name, self.keys), body }
    }

    async fn change(&mut self, method: Method, path: &str, body: Value) -> Option<Answer> {
        let mutation = self.mutation(method, path, body);
        self.make(&mutation).await
    }

    /// Asks until it is acknowledged; puts it off if it is not.
    async fn make(&mut self, mutation: &Mutation) -> Option<Answer> {
        for attempt in 0..TRIES {
            if attempt > 0 {
                self.counts(|counts| counts.asked_again += 1);
                sleep(PAUSE).await;
            }
            let Mutation { method, path, key, body } = mutation;
            match self.api(method.clone(), path, Some(key.clone()), Some(body.clone())).await {
                Some(answer) if answer.status.is_success() => {
                    self.counts(|counts| counts.acknowledged += 1);
                    return Some(answer);
                }
                None => {}
                Some(answer) if answer.status.is_server_error() || answer.code() == "key_running" => {}
                Some(answer) => {
                    self.violation(format!(
                        "{method} {path} under {key} was answered {}: {}",
                        answer.status, answer.text
                    ));
                    return None;
                }
            }
        }
        self.note(format!("put off {} {} under {}", mutation.method, mutation.path, mutation.key));
        self.unsettled.push(mutation.clone());
        None
    }

    async fn api(&self, method: Method, path: &str, key: Option<String>, body: Option<Value>) -> Option<Answer> {
        let call = self.call(AUTHORITY, API_PORT, method, path, key, body);
        let bearer = Some(self.root.clone()).filter(|root| !root.is_empty());
        Call { bearer, ..call }.send().await
    }

    fn call(
        &self,
        host: &str,
        port: u16,
        method: Method,
        path: &str,
        key: Option<String>,
        body: Option<Value>,
    ) -> Call {
        let bearer = (host == AUTHORITY).then(|| self.root.clone());
        Call { host: host.to_owned(), port, method, path: path.to_owned(), bearer, key, body, within: WITHIN }
    }
}
