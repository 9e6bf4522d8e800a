//! What stands on the stage: an authority, three sidecars, two consumers, a control, and their folder.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use jeton_api::{
    credential::{Constraints, IssueRequest},
    namespace::NamespaceCreateRequest,
};
use jeton_client::Client;
use jeton_types::{CredentialId, Freshness, Labels, ScopeSet, Secret, TokenId};
use tokio::time::{Instant, interval};

use super::{child::Child, consumer::Report, probe::Probe, view::View};
use crate::exit::{Exit, Failure};

/// The namespace of the legitimate traffic, with the default grace.
pub const SHOP: &str = "shop";
/// The strict namespace, in which thief and freeze play.
pub const VAULT: &str = "vault";
/// How many sidecars there are.
pub const SIDECARS: usize = 3;
/// The time to live of the control's cache.
pub const CONTROL_TTL: &str = "10s";

const CONSUMERS: [(&str, &str); 2] = [(SHOP, "checkout"), (VAULT, "payments")];
const PATIENCE: Duration = Duration::from_secs(20);

/// A credential as the demo needs it.
pub struct Issued {
    pub credential: CredentialId,
    pub token: TokenId,
    pub secret: Secret<String>,
}

/// One consumer and what it has reported.
pub struct Consumer {
    pub name: String,
    pub credential: CredentialId,
    pub token_file: PathBuf,
    process: Option<Child>,
    report: Arc<Mutex<Report>>,
}

impl Consumer {
    pub fn report(&self) -> Report {
        read(&self.report)
    }

    /// Its reports, for whoever looks at them all the time.
    pub fn reports(&self) -> impl Fn() -> Report + Send + 'static {
        let report = self.report.clone();
        move || read(&report)
    }
}

/// Everything that runs.
pub struct Stage {
    folder: tempfile::TempDir,
    authority: Option<Child>,
    http: SocketAddr,
    feed: SocketAddr,
    sidecars: Vec<Option<Child>>,
    pub addresses: Vec<SocketAddr>,
    pub consumers: Vec<Consumer>,
    control: Option<Child>,
    pub control_address: SocketAddr,
    pub client: Client,
    pub probe: Probe,
}

impl Stage {
    /// Starts the authority, creates what the play needs, and brings everybody on.
    pub async fn set(view: &View) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("jeton-demo-").tempdir().map_err(Failure::usage)?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (authority, [http, feed]) = authority(folder.path(), any, any).await?;
        let root =
            jeton_host::files::read_private(&folder.path().join("data/root.token")).map_err(Failure::internal)?;
        let client = Client::builder(format!("http://{http}")).token(root).build()?;
        view.tell(&format!("authority on http://{http}, feed on http://{feed}, state in {}", folder.path().display()))?;

        let mut stage = Self {
            folder,
            authority: Some(authority),
            http,
            feed,
            sidecars: Vec::new(),
            addresses: Vec::new(),
            consumers: Vec::new(),
            control: None,
            control_address: any,
            client,
            probe: Probe::new(),
        };
        for (namespace, prefix, freshness) in
            [(SHOP, "shop_live", Freshness::DEFAULT), (VAULT, "vault_live", Freshness::Strict)]
        {
            stage.namespace(namespace, prefix, freshness).await?;
        }
        for number in 1..=SIDECARS {
            let scopes = ["verifier@shop", "verifier@vault"];
            let issued = stage.issue("jeton", &format!("edge-{number}"), &scopes).await?;
            stage.save(&issued.secret, &format!("edge-{number}.token"))?;
            let (sidecar, address) = stage.sidecar(number, any).await?;
            stage.sidecars.push(Some(sidecar));
            stage.addresses.push(address);
        }
        for place in 0..SIDECARS {
            stage.until_ready(place).await?;
        }
        view.tell(&format!("sidecars edge-1, edge-2, edge-3 on {}", list(&stage.addresses)))?;
        stage.start_control().await?;
        for (namespace, name) in CONSUMERS {
            stage.start_consumer(namespace, name).await?;
        }
        view.tell("consumers shop/checkout and vault/payments send requests through the sidecars from now on")?;
        Ok(stage)
    }

    /// Issues a token.
    pub async fn issue(&self, namespace: &str, name: &str, scopes: &[&str]) -> Result<Issued, Failure> {
        let request = IssueRequest {
            name: name.parse().map_err(Failure::internal)?,
            subject: None,
            scopes: ScopeSet::parse(scopes.iter().copied()).map_err(Failure::internal)?,
            labels: Labels::default(),
            ttl: None,
            constraints: Constraints::default(),
        };
        let namespace = namespace.parse().map_err(Failure::internal)?;
        let view = self.client.issue(&namespace, &request).await?;
        Ok(Issued { credential: view.credential.id, token: view.token.id, secret: view.token.secret.0 })
    }

    /// A file in the demo's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a token where its consumer will find it.
    pub fn save(&self, secret: &Secret<String>, name: &str) -> Result<PathBuf, Failure> {
        let path = self.file(name);
        crate::output::save_secret(secret, &path)?;
        Ok(path)
    }

    /// SIGSTOP for one sidecar.
    pub fn freeze(&self, place: usize) -> Result<(), Failure> {
        self.sidecars[place].as_ref().map_or(Ok(()), Child::freeze)
    }

    /// SIGCONT for one sidecar.
    pub fn wake(&self, place: usize) -> Result<(), Failure> {
        self.sidecars[place].as_ref().map_or(Ok(()), Child::wake)
    }

    /// kill -9 for the authority.
    pub async fn kill_authority(&mut self) -> Result<(), Failure> {
        match self.authority.take() {
            Some(authority) => authority.kill().await,
            None => Ok(()),
        }
    }

    /// Starts the authority again, where it was.
    pub async fn restart_authority(&mut self) -> Result<(), Failure> {
        let (authority, _) = authority(self.folder.path(), self.http, self.feed).await?;
        self.authority = Some(authority);
        Ok(())
    }

    /// Starts the sidecars again, where they were.
    pub async fn restart_sidecars(&mut self) -> Result<(), Failure> {
        for place in 0..SIDECARS {
            let (sidecar, _) = self.sidecar(place + 1, self.addresses[place]).await?;
            self.sidecars[place] = Some(sidecar);
        }
        for place in 0..SIDECARS {
            self.until_ready(place).await?;
        }
        Ok(())
    }

    /// Stops the consumers; their last reports are in afterwards.
    pub async fn stop_consumers(&mut self) -> Result<(), Failure> {
        for consumer in &mut self.consumers {
            if let Some(process) = consumer.process.take() {
                process.stop().await?;
            }
        }
        Ok(())
    }

    /// Stops everything else, the authority last.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        if let Some(control) = self.control.take() {
            control.stop().await?;
        }
        for sidecar in &mut self.sidecars {
            if let Some(sidecar) = sidecar.take() {
                sidecar.stop().await?;
            }
        }
        match self.authority.take() {
            Some(authority) => authority.stop().await,
            None => Ok(()),
        }
    }

    /// Where the authority's API is.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Waits until a sidecar says that it can answer.
    pub async fn until_ready(&self, place: usize) -> Result<(), Failure> {
        let address = self.addresses[place];
        let client = Client::builder(format!("http://{address}")).build()?;
        let started = Instant::now();
        let mut beat = interval(Duration::from_millis(20));
        while started.elapsed() < PATIENCE {
            beat.tick().await;
            if client.ready().await {
                return Ok(());
            }
        }
        Err(Failure::new(Exit::Unreachable, format!("edge-{} on {address} did not become ready", place + 1)))
    }

    async fn namespace(&self, name: &str, prefix: &str, freshness: Freshness) -> Result<(), Failure> {
        let request = NamespaceCreateRequest {
            name: name.parse().map_err(Failure::internal)?,
            prefix: prefix.parse().map_err(Failure::internal)?,
            freshness: Some(freshness),
            default_ttl: None,
        };
        let _ = self.client.namespace_create(&request).await?;
        Ok(())
    }

    async fn sidecar(&self, number: usize, at: SocketAddr) -> Result<(Child, SocketAddr), Failure> {
        let name = format!("edge-{number}");
        let (feed, at, token) = (
            format!("http://{}", self.feed),
            at.to_string(),
            self.file(&format!("{name}.token")).display().to_string(),
        );
        let namespaces = format!("{SHOP},{VAULT}");
        let arguments = [
            "sidecar",
            "--json",
            "--feed",
            &feed,
            "--namespace",
            &namespaces,
            "--token-file",
            &token,
            "--http",
            &at,
            "--id",
            &name,
            "--drain",
            "0s",
        ];
        let mut child = Child::start(&name, &arguments)?;
        let [address] = child.addresses(["http"]).await?;
        Ok((child, address))
    }

    async fn start_control(&mut self) -> Result<(), Failure> {
        let issued = self.issue("jeton", "control", &["verifier@vault"]).await?;
        let token = self.save(&issued.secret, "control.token")?.display().to_string();
        let url = self.url();
        let arguments =
            ["demo-control", "--url", &url, "--token-file", &token, "--ttl", CONTROL_TTL, "--http", "127.0.0.1:0"];
        let mut control = Child::start("the control", &arguments)?;
        let [address] = control.addresses(["http"]).await?;
        self.control = Some(control);
        self.control_address = address;
        Ok(())
    }

    async fn start_consumer(&mut self, namespace: &str, name: &str) -> Result<(), Failure> {
        let issued = self.issue(namespace, name, &["orders:write"]).await?;
        let token_file = self.save(&issued.secret, &format!("{name}.token"))?;
        let (file, sidecars) = (token_file.display().to_string(), list(&self.addresses));
        let arguments = ["demo-consumer", "--token-file", &file, "--sidecars", &sidecars, "--every", "10ms"];
        let mut process = Child::start(name, &arguments)?;
        let report = Arc::new(Mutex::new(Report::default()));
        if let Some(mut lines) = process.lines() {
            let report = report.clone();
            tokio::spawn(async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    if let (Ok(new), Ok(mut report)) = (serde_json::from_str(&line), report.lock()) {
                        *report = new;
                    }
                }
            });
        }
        self.consumers.push(Consumer {
            name: format!("{namespace}/{name}"),
            credential: issued.credential,
            token_file,
            process: Some(process),
            report,
        });
        Ok(())
    }
}

async fn authority(folder: &Path, http: SocketAddr, feed: SocketAddr) -> Result<(Child, [SocketAddr; 2]), Failure> {
    let (data, http, feed) = (folder.join("data").display().to_string(), http.to_string(), feed.to_string());
    let mut child =
        Child::start("the authority", &["serve", "--json", "--data-dir", &data, "--http", &http, "--feed", &feed])?;
    let addresses = child.addresses(["http", "feed"]).await?;
    Ok((child, addresses))
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(",")
}

fn read(report: &Mutex<Report>) -> Report {
    report.lock().map(|report| report.clone()).unwrap_or_default()
}
