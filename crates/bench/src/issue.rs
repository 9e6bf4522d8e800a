//! Durable issues per second over HTTP, beside a loop of append and sync.

use jeton_testkit::{Authority, Jeton};

use crate::{
    anchor::append,
    figure::{Aim, Figure, Part},
    load,
    process::{cpu, cpu_of_thread},
    setup::Setup,
};

const CONNECTIONS: u64 = 64;

pub fn measure(setup: &Setup) -> Part {
    let (jeton, authority) = start(setup);
    let root = root_token(&authority);
    let (mut product, mut anchor) = (Vec::new(), Vec::new());
    let (mut product_cpu, mut anchor_cpu) = (Vec::new(), Vec::new());
    for round in 0..setup.rounds() {
        let before = cpu_of_thread();
        let (appends, took) = append::run(&setup.folder, setup.turn());
        anchor.push(appends / took.as_secs_f64());
        anchor_cpu.push((cpu_of_thread() - before).as_secs_f64() * 1e6 / appends);
        let before = cpu(authority.pid());
        let token = root.clone();
        let (issued, took) = load::run(authority.http, CONNECTIONS, setup.turn(), 201, move |connection, number| {
            let name = format!("c{round}-{connection}-{number}");
            let body =
                format!(r#"{{"name":"{name}","subject":"svc:{connection}","scopes":["orders:read","orders:write"]}}"#);
            load::request("POST", "/v1/namespaces/acme/credentials", &token, &body)
        });
        product.push(issued as f64 / took.as_secs_f64());
        product_cpu.push((cpu(authority.pid()) - before).as_secs_f64() * 1e6 / issued as f64);
    }
    drop(authority);
    drop(jeton);
    Part {
        title: "Durable issues",
        how: format!(
            "`jeton serve` on a new data folder; {CONNECTIONS} connections that each `POST /v1/namespaces/acme/credentials` and wait \
             for the answer, which comes after the commit is synced. The anchor appends 4 KiB to a file in the same folder and calls \
             `fsync`, which is what SQLite calls here, one after the other. The load runs on the same machine and takes its CPU from what is \
             measured; the CPU of one issue is that of the authority alone."
        ),
        figures: vec![
            Figure {
                what: format!("issues, {CONNECTIONS} connections"),
                unit: "per s",
                product,
                anchor,
                aim: setup.aim(Aim::RatioAtLeast(1.0)),
            },
            Figure {
                what: "CPU of one".to_owned(),
                unit: "µs",
                product: product_cpu,
                anchor: anchor_cpu,
                aim: Aim::None,
            },
        ],
    }
    .told()
}

/// An authority with the namespace `acme`.
pub fn start(setup: &Setup) -> (Jeton, Authority) {
    let jeton = setup.jeton();
    let authority = jeton.serve("data");
    let _ = jeton.as_root(&authority, &["namespace", "create", "acme", "--prefix", "acme_live"]).expect(0);
    (jeton, authority)
}

/// The token with which anything may be done.
pub fn root_token(authority: &Authority) -> String {
    let text = std::fs::read_to_string(authority.data.join("root.token")).expect("the first start wrote it");
    text.trim_end().to_owned()
}
