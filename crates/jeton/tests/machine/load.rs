//! Mutations of every kind, each asked for until it is acknowledged, always under the same key; and what must be so afterwards.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use jeton_testkit::{Answer, Dice, Jeton, Web};
use serde_json::{Value, json};

/// One who asks, with the credentials that are his own.
pub(crate) struct Worker {
    name: String,
    web: Web,
    root: String,
    dice: Dice,
    /// In the order of their making.
    pub(crate) credentials: Vec<Credential>,
    /// What was asked for and is not acknowledged yet.
    pending: Option<Call>,
    asked: usize,
    /// How many of each were acknowledged, by the name that the audit trail has for it.
    pub(crate) acknowledged: BTreeMap<&'static str, usize>,
    /// Calls whose answer held a secret.
    told: Vec<(Call, String)>,
    pub(crate) replays: usize,
    /// What becomes of each credential, in order. It begins with its issue.
    pub(crate) life: &'static [Step],
    /// How long what ends authority waits for its receipt, if it does.
    pub(crate) wait_ms: Option<u64>,
    pub(crate) journal: Option<Arc<dyn Journal>>,
}

/// Who writes down what is asked and told, and when.
pub(crate) trait Journal: Send + Sync {
    /// Is called before something is asked for, the first time and each other, about these tokens.
    fn asks(&self, key: &str, step: Step, of: &[&str]);
    /// Is called when it was told that it is done, once and at each replay.
    fn told(&self, key: &str, step: Step, of: &[&str], view: &Value);
}

#[derive(Debug, Clone)]
struct Call {
    step: Step,
    credential: usize,
    method: &'static str,
    path: String,
    body: Value,
    key: String,
    /// The tokens that it is about.
    of: Vec<String>,
}

/// The life of each credential, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Issue,
    Rotate,
    Narrow,
    Disable,
    Enable,
    RevokeToken,
    RotateAgain,
    Widen,
    RevokeAll,
    RotateAfter,
    RevokeSecret,
    RotateLast,
    Delete,
}

pub(crate) const LIFE: [Step; 13] = [
    Step::Issue,
    Step::Rotate,
    Step::Narrow,
    Step::Disable,
    Step::Enable,
    Step::RevokeToken,
    Step::RotateAgain,
    Step::Widen,
    Step::RevokeAll,
    Step::RotateAfter,
    Step::RevokeSecret,
    Step::RotateLast,
    Step::Delete,
];

#[derive(Debug, Clone)]
pub(crate) struct Credential {
    name: String,
    id: String,
    steps: usize,
    tokens: Vec<Token>,
    scopes: Vec<&'static str>,
    disabled: bool,
    deleted: bool,
}

#[derive(Debug, Clone)]
struct Token {
    id: Value,
    secret: String,
    ended: bool,
}

/// How a call ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Acknowledged(Step),
    Refused(Step, Answer),
    NoAnswer,
}

impl Step {
    /// Whether it takes authority away, and so is taken also on a full disk.
    pub(crate) const fn ends(self) -> bool {
        matches!(
            self,
            Self::Narrow | Self::Disable | Self::RevokeToken | Self::RevokeAll | Self::RevokeSecret | Self::Delete
        )
    }

    const fn audited(self) -> &'static str {
        match self {
            Self::Issue => "credential.issue",
            Self::Rotate | Self::RotateAgain | Self::RotateAfter | Self::RotateLast => "credential.rotate",
            Self::Narrow | Self::Disable | Self::Enable | Self::Widen => "credential.update",
            Self::RevokeToken | Self::RevokeAll | Self::RevokeSecret => "revocation.create",
            Self::Delete => "credential.delete",
        }
    }
}

impl Worker {
    pub(crate) fn new(name: &str, web: &Web, root: &str, dice: Dice) -> Self {
        Self {
            name: name.to_owned(),
            web: web.clone(),
            root: root.to_owned(),
            dice,
            credentials: Vec::new(),
            pending: None,
            asked: 0,
            acknowledged: BTreeMap::new(),
            told: Vec::new(),
            replays: 0,
            life: &LIFE,
            wait_ms: None,
            journal: None,
        }
    }

    /// The clients of a dead process are of no use for the next.
    pub(crate) fn reconnect(&mut self) {
        self.web = self.web.anew();
    }

    /// Whether something was asked for and never acknowledged.
    pub(crate) const fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether it was told no secret yet.
    pub(crate) const fn is_silent(&self) -> bool {
        self.told.is_empty()
    }

    /// True once in so many times.
    pub(crate) fn rolls(&mut self, sides: usize) -> bool {
        self.dice.below(sides) == 0
    }

    /// Asks for the next thing, or again for what is not acknowledged.
    pub(crate) async fn step(&mut self, to: SocketAddr) -> Outcome {
        let call = self.call();
        self.pending = Some(call.clone());
        let of: Vec<&str> = call.of.iter().map(String::as_str).collect();
        if let Some(journal) = &self.journal {
            journal.asks(&call.key, call.step, &of);
        }
        let Some(answer) = self.send(to, &call).await else { return Outcome::NoAnswer };
        if answer.status >= 300 {
            return Outcome::Refused(call.step, answer);
        }
        self.pending = None;
        let (step, view) = (call.step, answer.json());
        if let Some(journal) = &self.journal {
            journal.told(&call.key, step, &of, &view);
        }
        self.acknowledge(call, &view);
        Outcome::Acknowledged(step)
    }

    /// Asks for something again that was told before: it must be told the same.
    pub(crate) async fn replay(&mut self, to: SocketAddr) -> Option<()> {
        if self.told.is_empty() {
            return None;
        }
        let (call, secret) = self.dice.pick(&self.told).clone();
        let answer = self.send(to, &call).await?;
        assert!(answer.status < 300, "{call:?} was told before: {} {}", answer.status, answer.json());
        assert_eq!(answer.json()["token"]["secret"], secret, "{call:?}");
        if let Some(journal) = &self.journal {
            journal.told(&call.key, call.step, &[], &answer.json());
        }
        self.replays += 1;
        Some(())
    }

    fn call(&mut self) -> Call {
        if let Some(call) = &self.pending {
            return call.clone();
        }
        let open: Vec<usize> =
            (0..self.credentials.len()).filter(|at| self.credentials[*at].steps < self.life.len()).collect();
        // A handful of lives at a time, so that kinds are mixed.
        let at = if open.len() < 4 && (open.is_empty() || self.dice.below(4) == 0) {
            self.credentials.len()
        } else {
            *self.dice.pick(&open)
        };
        self.asked += 1;
        let key = format!("{}-{}", self.name, self.asked);
        let Some(credential) = self.credentials.get(at) else {
            let body = json!({ "name": format!("{}-{at}", self.name), "scopes": ["a", "b"] });
            let path = "/v1/namespaces/acme/credentials".to_owned();
            return Call { step: Step::Issue, credential: at, method: "POST", path, body, key, of: Vec::new() };
        };
        let step = self.life[credential.steps];
        let at_path = |rest: &str| format!("/v1/credentials/{}{rest}", credential.id);
        let revocations = "/v1/namespaces/acme/revocations".to_owned();
        let all = || credential.tokens.iter().map(|token| token.secret.clone()).collect();
        let of = match step {
            Step::RevokeToken => vec![credential.tokens[0].secret.clone()],
            Step::RevokeSecret => vec![credential.tokens.last().unwrap().secret.clone()],
            Step::RevokeAll | Step::Delete | Step::Disable | Step::Enable => all(),
            _ => Vec::new(),
        };
        let (method, mut path, mut body) = match step {
            Step::Issue => panic!("it was issued"),
            Step::Rotate | Step::RotateAgain | Step::RotateAfter | Step::RotateLast => {
                ("POST", at_path("/rotate"), json!({ "overlap": "1h" }))
            }
            Step::Narrow => ("PATCH", at_path(""), json!({ "scopes": ["a"] })),
            Step::Widen => ("PATCH", at_path(""), json!({ "scopes": ["a", "c"] })),
            Step::Disable => ("PATCH", at_path(""), json!({ "disabled": true })),
            Step::Enable => ("PATCH", at_path(""), json!({ "disabled": false })),
            Step::RevokeToken => ("POST", revocations, json!({ "selector": { "token_id": credential.tokens[0].id } })),
            Step::RevokeAll => ("POST", revocations, json!({ "selector": { "credential": credential.id } })),
            Step::RevokeSecret => {
                ("POST", revocations, json!({ "selector": { "secret": credential.tokens.last().unwrap().secret } }))
            }
            Step::Delete => ("DELETE", at_path(""), Value::Null),
        };
        match self.wait_ms {
            Some(ms) if step == Step::Delete => path += &format!("?wait=complete&timeout_ms={ms}"),
            Some(ms) if step.ends() => {
                (body["wait"], body["timeout_ms"]) = (json!("complete"), json!(ms));
            }
            _ => {}
        }
        Call { step, credential: at, method, path, body, key, of }
    }

    async fn send(&self, to: SocketAddr, call: &Call) -> Option<Answer> {
        let bearer = format!("Bearer {}", self.root);
        let mut headers = vec![("authorization", bearer.as_str()), ("idempotency-key", call.key.as_str())];
        let mut body = String::new();
        if !call.body.is_null() {
            headers.push(("content-type", "application/json"));
            body = call.body.to_string();
        }
        self.web.request(call.method, to, &call.path, &headers, body).await
    }

    fn acknowledge(&mut self, call: Call, view: &Value) {
        *self.acknowledged.entry(call.step.audited()).or_default() += 1;
        if call.step == Step::Issue {
            self.credentials.push(Credential {
                name: call.body["name"].as_str().unwrap().to_owned(),
                id: view["credential"]["id"].as_str().unwrap().to_owned(),
                steps: 0,
                tokens: Vec::new(),
                scopes: vec!["a", "b"],
                disabled: false,
                deleted: false,
            });
        }
        let credential = &mut self.credentials[call.credential];
        credential.steps += 1;
        match call.step {
            Step::Issue | Step::Rotate | Step::RotateAgain | Step::RotateAfter | Step::RotateLast => {
                let secret = view["token"]["secret"].as_str().unwrap().to_owned();
                let token = Token { id: view["token"]["id"].clone(), secret: secret.clone(), ended: false };
                credential.tokens.push(token);
                self.told.push((call, secret));
            }
            Step::Narrow => credential.scopes = vec!["a"],
            Step::Widen => credential.scopes = vec!["a", "c"],
            Step::Disable => credential.disabled = true,
            Step::Enable => credential.disabled = false,
            Step::RevokeToken => credential.tokens[0].ended = true,
            Step::RevokeAll => credential.tokens.iter_mut().for_each(|token| token.ended = true),
            Step::RevokeSecret => credential.tokens.last_mut().unwrap().ended = true,
            Step::Delete => {
                credential.deleted = true;
                credential.tokens.iter_mut().for_each(|token| token.ended = true);
            }
        }
    }
}

/// So many credentials are checked side by side.
const CHECKS: usize = 8;

/// Everything that was acknowledged is there, once; nothing else is. Nothing may be pending. All tokens, as they are listed.
pub(crate) async fn check(jeton: &Jeton, authority: &jeton_testkit::Authority, workers: &[Worker]) -> Vec<Value> {
    let (web, root, to) = (Web::default(), authority.root_token(), authority.http);
    let mut listed = all(&web, to, &root, "/v1/namespaces/acme/credentials?limit=1000").await;
    let mut by_name: HashMap<String, Value> =
        listed.drain(..).map(|view| (view["name"].as_str().unwrap().to_owned(), view)).collect();
    let (mut acknowledged, mut checks) = (BTreeMap::new(), Vec::new());
    for worker in workers {
        assert!(worker.pending.is_none(), "{:?}", worker.pending);
        for (action, count) in &worker.acknowledged {
            *acknowledged.entry(*action).or_insert(0) += count;
        }
        for credential in &worker.credentials {
            let view = by_name.remove(&credential.name).unwrap_or_else(|| panic!("lost: {credential:?}"));
            checks.push((credential.clone(), view));
        }
    }
    let mut lanes = Vec::new();
    for lane in 0..CHECKS {
        let mine: Vec<_> = checks.iter().skip(lane).step_by(CHECKS).cloned().collect();
        let (web, root) = (web.clone(), root.clone());
        lanes.push(tokio::spawn(async move {
            let mut listed = Vec::new();
            for (credential, view) in mine {
                listed.extend(check_one(&web, to, &root, &credential, &view).await);
            }
            listed
        }));
    }
    let mut listed = Vec::new();
    for lane in lanes {
        listed.extend(lane.await.unwrap());
    }
    assert!(by_name.is_empty(), "nobody was told of {by_name:?}");
    let mut audited = BTreeMap::new();
    for entry in all(&web, to, &root, "/v1/audit?namespace=acme&limit=1000").await {
        *audited.entry(entry["action"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    audited.remove("namespace.create");
    // Whoever changes the policy does so beside the workers.
    audited.remove("namespace.update");
    let acknowledged: BTreeMap<String, usize> =
        acknowledged.into_iter().map(|(action, count)| (action.to_owned(), count)).collect();
    assert_eq!(audited, acknowledged, "one entry for each that was acknowledged");
    let _ = jeton.as_root(authority, &["audit", "verify"]).expect(0);
    listed
}

async fn check_one(web: &Web, to: SocketAddr, root: &str, credential: &Credential, view: &Value) -> Vec<Value> {
    assert_eq!(view["id"], credential.id, "{credential:?}");
    assert_eq!(view["scopes"], json!(credential.scopes), "{credential:?}");
    assert_eq!(view["disabled_at"].is_null(), !credential.disabled, "{credential:?}");
    assert_eq!(view["deleted_at"].is_null(), !credential.deleted, "{credential:?}");
    let tokens = web.get(to, &format!("/v1/credentials/{}/tokens", credential.id), Some(root)).await.unwrap().json();
    let ids: Vec<&Value> =
        tokens["items"].as_array().unwrap_or_else(|| panic!("{tokens}")).iter().map(|token| &token["id"]).collect();
    assert_eq!(ids, credential.tokens.iter().map(|token| &token.id).collect::<Vec<_>>(), "{credential:?}");
    for token in &credential.tokens {
        let verdict = web.post(to, "/v1/verify", Some(root), &json!({ "token": token.secret })).await.unwrap().json();
        let code = match (token.ended, credential.disabled) {
            (true, _) => "revoked",
            (false, true) => "disabled",
            (false, false) => "valid",
        };
        assert_eq!(verdict["code"], code, "{credential:?}: {verdict}");
    }
    tokens["items"].as_array().cloned().unwrap_or_default()
}

async fn all(web: &Web, to: SocketAddr, root: &str, path: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page = web.get(to, &format!("{path}{after}"), Some(root)).await.unwrap().json();
        items.extend(page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return items,
        }
    }
}
