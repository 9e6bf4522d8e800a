//! CPU of one `/auth` request at a sidecar, beside a bare HTTP server.

use std::{net::SocketAddr, time::Duration};

use jeton_testkit::Web;

use crate::{
    figure::{Aim, Figure, Part},
    issue, load,
    process::{Talking, cpu},
    setup::{Setup, child},
};

const CONNECTIONS: u64 = 16;

pub fn measure(setup: &Setup) -> Part {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (jeton, authority) = issue::start(setup);
    let web = Web::default();
    let sidecar = runtime.block_on(jeton.sidecar(&authority, "edge-1", "acme", &web));
    let issued = jeton.as_root(
        &authority,
        &["issue", "acme/shop", "--subject", "svc:shop", "--scope", "orders:read", "--scope", "orders:write"],
    );
    let token = issued.expect(0).out.trim().to_owned();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut bare = [1, threads].map(|threads| Talking::start(child(&["bare", "--threads", &threads.to_string()])));
    let bare_at = bare.each_mut().map(Talking::address);
    let mut one = (Vec::new(), Vec::new());
    let mut many = (Vec::new(), Vec::new());
    for _ in 0..setup.rounds() {
        let product = per_request(sidecar.pid(), sidecar.http, setup.turn(), 200, &token);
        for (place, (products, anchors)) in [&mut one, &mut many].into_iter().enumerate() {
            products.push(product);
            anchors.push(per_request(bare[place].pid(), bare_at[place], setup.turn(), 204, &token));
        }
    }
    let figure = |what: String, (product, anchor), aim| Figure { what, unit: "µs of CPU", product, anchor, aim };
    Part {
        title: "`/auth` at a sidecar",
        how: format!(
            "A sidecar of the release binary and `GET /auth` with a good token over {CONNECTIONS} connections kept alive: CPU time, user \
             and system, of the sidecar's process divided by the answers, which are 200 with all identity headers. The anchor is a \
             hyper server that says 204 to everything, asked in the same way: on as many threads as the sidecar has, which is what the aim is \
             about, and on one, which never has to wake another."
        ),
        figures: vec![
            figure(format!("bare hyper on {threads} threads"), many, setup.aim(Aim::RatioAtMost(1.5))),
            figure("bare hyper on one thread".to_owned(), one, Aim::None),
        ],
    }
    .told()
}

/// Microseconds of a process's CPU for each request.
fn per_request(pid: u32, to: SocketAddr, turn: Duration, expect: u16, token: &str) -> f64 {
    let asked =
        format!("GET /auth HTTP/1.1\r\nhost: shop.example\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes();
    let before = cpu(pid);
    let (answers, _) = load::run(to, CONNECTIONS, turn, expect, move |_, _| asked.clone());
    (cpu(pid) - before).as_secs_f64() * 1e6 / answers as f64
}
