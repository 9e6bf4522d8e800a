//! What counts as a verification under way: receipts wait for it (`feed-protocol.md` 7 and 20).

use std::{pin::pin, sync::Arc};

use axum::extract::FromRequestParts;
use futures_util::FutureExt;
use http::Request;
use jeton_feed::message::ToAuthority;
use jeton_store::Store;
use jeton_types::Secret;
use tokio::sync::{oneshot, watch};

use super::world::{World, hello};
use crate::{
    access::Access,
    core::{Core, Parts, Phase},
    metric::Metrics,
    time::AuthorityTime,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_until_its_stream_is_registered() {
    let world = World::new().await;
    let token = world.token("edge").await;
    // The writer is busy, so that the hello waits for its session to be registered.
    let (busy, is_busy) = oneshot::channel();
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let store = world.store.clone();
    let writing = tokio::spawn(async move {
        let write = move |_: &Secret<String>| {
            busy.send(()).unwrap();
            let _ = wait.recv();
            Ok(())
        };
        store.root_ensure(write).await.unwrap();
    });
    is_busy.await.unwrap();
    let mut stream = world.dial(&token).await.unwrap();
    stream.send(ToAuthority::Hello(hello(1, 1))).await;
    while format!("{:?}", world.inflight) != "Inflight { guards: 1, waiters: 0 }" {
        tokio::task::yield_now().await;
    }
    let mut drained = pin!(world.inflight.drained());
    assert!(drained.as_mut().now_or_never().is_none());
    assert_eq!(world.hub.sessions(), []);
    drop(let_go);
    writing.await.unwrap();
    stream.snapshot_after_welcome().await;
    drained.await;
    assert!(world.hub.sessions()[0].connected, "whoever waited for it finds the stream");
}

#[tokio::test]
async fn a_request_while_it_is_decided_and_not_while_it_waits_for_its_sender() {
    let world = World::new().await;
    let token = world.issue("jeton", "auditor", "auditor@acme").await.secret;
    let (_phase, phase) = watch::channel(Phase::Serving);
    let core = Core::new(Parts {
        store: world.store.clone(),
        hub: world.hub.clone(),
        keys: world.keys.clone(),
        inflight: world.inflight.clone(),
        time: AuthorityTime::new(world.clock.clone()),
        metrics: Arc::new(Metrics::new()),
        events: crate::event::Events::new(),
        burns: crate::limit::AddressLimit::default(),
        own_use: crate::usage::OwnUse::default(),
        running: crate::http::once::Running::default(),
        fence: world.fence.clone(),
        phase,
    });
    let request = Request::get("/").header("authorization", format!("Bearer {}", token.expose())).body(()).unwrap();
    let (mut parts, ()) = request.into_parts();
    let mut access = Access::from_request_parts(&mut parts, &core).await.unwrap();
    let mut drained = pin!(world.inflight.drained());
    assert!(drained.as_mut().now_or_never().is_none());
    access.pause();
    drained.await;
    let access = access.again(&core).await.unwrap();
    let mut drained = pin!(world.inflight.drained());
    assert!(drained.as_mut().now_or_never().is_none(), "it is decided anew");
    // The store decides what is changed, and a receipt may be waited for from here on.
    let _once = access.into_once(&core).unwrap();
    drained.await;
}
