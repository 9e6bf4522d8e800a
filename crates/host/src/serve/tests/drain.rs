use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;

struct Running {
    address: SocketAddr,
    stage: Stage,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

async fn start(limits: Limits) -> Running {
    let listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "--http", false).await.unwrap();
    let address = listener.address();
    let stage = Stage::new();
    let service = stage.service();
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(serve(listener, service, refuse_plain::<TestBody>, limits, async {
        let _ = stopped.await;
    }));
    Running { address, stage, stop, server }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn somebody_waits(&self, count: usize) {
        while self.stage.waiting.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_request_under_way_is_finished_and_no_other_begun() {
    let running = start(Limits { drain: Duration::from_secs(600), ..Limits::http() }).await;
    let mut idle = running.connect().await;
    idle.write_all(get("/hello").as_bytes()).await.unwrap();
    read_until(&mut idle, "hello").await;
    let _silent = running.connect().await;
    let mut busy = running.connect().await;
    busy.write_all(get("/wait").as_bytes()).await.unwrap();
    let mut multiplexed = h2(running.connect().await).await;
    let under_way = tokio::spawn(multiplexed.send_request(h2_request("/wait")));
    running.somebody_waits(2).await;

    running.stop.send(()).unwrap();
    // The idle one ends at once, and by then the port is closed.
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
    assert!(TcpStream::connect(running.address).await.is_err());
    assert!(!running.server.is_finished());

    running.stage.tickets.add_permits(2);
    let answer = read_until(&mut busy, "waited").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"), "{answer}");
    assert_eq!(text_of(under_way.await.unwrap().unwrap()).await, "waited");
    running.server.await.unwrap();
    // Its GOAWAY came in time for the client to know that no request was lost.
    let lost = multiplexed.ready().await.unwrap_err();
    assert!(lost.is_closed(), "{lost:?}");
}

#[tokio::test]
async fn what_does_not_finish_is_cut() {
    let running = start(Limits { drain: Duration::from_millis(50), ..Limits::http() }).await;
    let mut busy = running.connect().await;
    busy.write_all(get("/wait").as_bytes()).await.unwrap();
    let mut multiplexed = h2(running.connect().await).await;
    let under_way = tokio::spawn(multiplexed.send_request(h2_request("/wait")));
    running.somebody_waits(2).await;
    running.stop.send(()).unwrap();
    running.server.await.unwrap();
    assert_eq!(busy.read(&mut [0; 16]).await.unwrap_or(0), 0);
    assert!(under_way.await.unwrap().is_err());
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let running = start(Limits { connections_max: 1, connections_refused_max: 1, ..Limits::http() }).await;
    let mut first = running.connect().await;
    first.write_all(get("/hello").as_bytes()).await.unwrap();
    read_until(&mut first, "hello").await;

    let mut second = running.connect().await;
    second.write_all(b"GET /hello HTTP/1.1\r\n").await.unwrap();
    // The third finds the place of those who are told taken, too.
    let mut third = running.connect().await;
    assert_eq!(third.read(&mut [0; 16]).await.unwrap_or(0), 0);
    second.write_all(b"\r\n").await.unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with("too many connections are open; reuse them, or try again later\n"), "{answer}");

    let refused = h2(running.connect().await).await.send_request(h2_request("/hello")).await.unwrap();
    assert_eq!(refused.status(), 503);

    // The first one goes on, and its place is free when it ends.
    first.write_all(get("/hello").as_bytes()).await.unwrap();
    read_until(&mut first, "hello").await;
}

#[tokio::test]
async fn small_answers_do_not_wait() {
    let mut listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "--http", false).await.unwrap();
    let _client = TcpStream::connect(listener.address()).await.unwrap();
    let (stream, _) = listener.accept().await;
    assert!(stream.nodelay().unwrap());
}

#[tokio::test]
async fn a_client_that_sends_too_much_hears_why() {
    let running = start(Limits::http()).await;
    let body = "x".repeat(600_000);
    let length = body.len();
    for request in [
        format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}"),
        format!("POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}"),
        format!("GET /hello HTTP/1.1\r\nHost: test\r\nX-Long: {body}\r\n\r\n"),
    ] {
        // Everything is sent before anything is read, as simple clients do.
        let mut client = running.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("connection: close"), "{answer}");
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
    }
}
