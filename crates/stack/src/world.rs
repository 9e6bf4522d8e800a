//! The hosts: one authority over a disk that can lose what was not synced, sidecars beside it, and whoever uses them.

use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    rc::Rc,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use jeton_authority::{Authority, AuthorityConfig, Ports};
use jeton_client::feed::TokenSource;
use jeton_edge::sidecar::{Sidecar, SidecarConfig};
use jeton_store::Disk;
use jeton_testkit::Dice;
use jeton_types::{
    Secret,
    fault::{Fault, inject},
};
use tokio::{sync::Notify, time::sleep};

use crate::{
    faults::Faults,
    history::History,
    machine::{HostClock, Seeded},
    net::{Net, Port},
    work,
};

pub(crate) const AUTHORITY: &str = "authority";
pub(crate) const CLIENT: &str = "client";
pub(crate) const API_PORT: u16 = 7400;
const FEED_PORT: u16 = 7401;
pub(crate) const SIDECAR_PORT: u16 = 7410;
/// The namespaces that every sidecar serves.
pub(crate) const NAMESPACES: [&str; 2] = ["acme", "shop"];
/// How far one step of the simulation goes. At 1 ms it costs ten times as much.
const TICK: Duration = Duration::from_millis(20);
/// No run takes longer.
const LONGEST: Duration = Duration::from_secs(400);

/// What the hosts of one run share.
pub(crate) struct Stage {
    pub(crate) history: RefCell<History>,
    pub(crate) disk: Disk,
    /// The disk does not sync.
    pub(crate) stalled: Cell<bool>,
    pub(crate) hosts: Vec<Machine>,
    pub(crate) phase: Cell<Phase>,
    /// What the sidecars present themselves with, once it is there.
    token: RefCell<Option<String>>,
    folder: tempfile::TempDir,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing goes wrong yet.
    Setup,
    /// Anything may go wrong.
    Faults,
    /// What is broken is being mended.
    Healing,
    /// All is whole, and must work.
    Healed,
}

/// One host: the authority is the first.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) clock: Arc<HostClock>,
    dice: RefCell<Dice>,
    /// Asks its process to stop in good order.
    pub(crate) leave: Notify,
}

impl Machine {
    fn new(name: String, dice: &mut Dice) -> Self {
        let rate = 900_000 + dice.below(200_001) as u64;
        Self { name, clock: HostClock::new(rate), dice: RefCell::new(dice.split()), leave: Notify::new() }
    }

    fn entropy(&self) -> Arc<Seeded> {
        Seeded::new(self.dice.borrow_mut().split())
    }
}

impl Stage {
    pub(crate) fn sidecars(&self) -> &[Machine] {
        &self.hosts[1..]
    }

    pub(crate) fn root_token(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.config().root_token()).ok()?;
        Some(text.trim().to_owned())
    }

    pub(crate) fn token_give(&self, token: String) {
        *self.token.borrow_mut() = Some(token);
    }

    fn config(&self) -> AuthorityConfig {
        let data = self.folder.path().join("data");
        AuthorityConfig {
            http: everywhere(API_PORT),
            feed: everywhere(FEED_PORT),
            plaintext: true,
            ..AuthorityConfig::new(data)
        }
    }
}

const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// Plays one seed to its end, with a rule of the product left out or with none. What went wrong is in the history; the
/// folder is for the authority's keys and root token.
#[must_use]
pub fn run(seed: u64, folder: &Path, fault: Option<Fault>) -> (History, Duration) {
    // All hosts run in this thread.
    let _broken = inject(fault);
    let mut dice = Dice::fixed(seed);
    let mut hosts = vec![Machine::new(AUTHORITY.to_owned(), &mut dice)];
    for number in 1..=1 + dice.below(3) {
        hosts.push(Machine::new(format!("edge-{number}"), &mut dice));
    }
    #[expect(clippy::expect_used, reason = "without a folder there is no run, and whoever starts it must hear of it")]
    let folder = tempfile::TempDir::new_in(folder).expect("a folder for keys");
    let stage = Rc::new(Stage {
        history: RefCell::default(),
        disk: Disk::unsynced(),
        stalled: Cell::new(false),
        hosts,
        phase: Cell::new(Phase::Setup),
        token: RefCell::new(None),
        folder,
    });
    let mut sim = turmoil::Builder::new()
        .tick_duration(TICK)
        .simulation_duration(LONGEST)
        .epoch(UNIX_EPOCH)
        .rng_seed(seed)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(2 + dice.below(60) as u64))
        // Of what waits to be read; one that is full is a panic.
        .tcp_capacity(1 << 16)
        .build();
    for (at, machine) in stage.hosts.iter().enumerate() {
        let stage = Rc::clone(&stage);
        let line = format!("host {} runs at {} ppm", machine.name, machine.clock.rate());
        stage.history.borrow_mut().note(Duration::ZERO, line);
        sim.host(machine.name.as_str(), move || {
            let stage = Rc::clone(&stage);
            async move { if at == 0 { authority(stage).await } else { sidecar(stage, at).await } }
        });
    }
    sim.client(CLIENT, work::run(Rc::clone(&stage), dice.split()));
    let mut faults = Faults::new(dice);
    loop {
        match sim.step() {
            Ok(true) => break,
            Ok(false) => faults.step(&mut sim, &stage),
            Err(error) => {
                stage.history.borrow_mut().violation(sim.elapsed(), format!("the run broke off: {error}"));
                break;
            }
        }
    }
    let elapsed = sim.elapsed();
    drop(sim);
    (stage.history.take(), elapsed)
}

async fn authority(stage: Rc<Stage>) -> turmoil::Result {
    let Some(machine) = stage.hosts.first() else { return Ok(()) };
    let mut dice = machine.dice.borrow_mut().split();
    let syncing = async {
        loop {
            sleep(dice.between(Duration::from_millis(1), Duration::from_millis(30))).await;
            if !stage.stalled.get() {
                stage.disk.sync();
            }
        }
    };
    let serving = async {
        let ports = Ports { http: Port::bind(API_PORT).await?, feed: Port::bind(FEED_PORT).await? };
        let (clock, entropy) = (machine.clock.clone(), machine.entropy());
        let running = Authority::start_on(&stage.disk, stage.config(), ports, clock, entropy).await?;
        running.run_until(machine.leave.notified()).await?;
        Ok(())
    };
    tokio::select! {
        biased;
        served = serving => served,
        () = syncing => Ok(()),
    }
}

async fn sidecar(stage: Rc<Stage>, at: usize) -> turmoil::Result {
    let Some(machine) = stage.hosts.get(at) else { return Ok(()) };
    let token = loop {
        if let Some(token) = stage.token.borrow().clone() {
            break token;
        }
        sleep(TICK).await;
    };
    let config = SidecarConfig {
        feed_url: format!("http://{AUTHORITY}:{FEED_PORT}"),
        namespaces: NAMESPACES.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
        token: TokenSource::Held(Secret::new(token)),
        http: everywhere(SIDECAR_PORT),
        plaintext: true,
        name: machine.name.parse()?,
        drain: Duration::ZERO,
        state_dir: None,
        client_address_header: None,
    };
    let port = Port::bind(SIDECAR_PORT).await?;
    let running = Sidecar::start_on(config, port, Some(Arc::new(Net)), machine.clock.clone(), machine.entropy())?;
    tokio::select! {
        biased;
        () = machine.leave.notified() => {}
        () = running.verifier().failed() => return Err("the driver of a verifier died".into()),
    }
    running.shutdown().await;
    Ok(())
}
