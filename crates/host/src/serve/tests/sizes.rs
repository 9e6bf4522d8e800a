use super::*;

async fn answer(request: &str) -> String {
    let mut line = line(Limits::http());
    // The server may answer before it has read everything.
    let _ = line.client.write_all(request.as_bytes()).await;
    let head = line.until("\r\n\r\n").await;
    head.lines().next().unwrap().to_owned()
}

async fn h2_status(request: Request<Full<Bytes>>) -> u16 {
    let Line { client, server: _server } = line(Limits::http());
    h2(client).await.send_request(request).await.unwrap().status().as_u16()
}

fn with_fields(count: usize, value: &str) -> String {
    let fields: String = (0..count).map(|i| format!("X-Field-{i}: {value}\r\n")).collect();
    format!("GET /hello HTTP/1.1\r\n{fields}\r\n")
}

fn h2_with_fields(count: usize, value: &str) -> Request<Full<Bytes>> {
    let mut request = h2_request("/hello");
    for i in 0..count {
        let name: http::HeaderName = format!("x-field-{i}").parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

#[tokio::test(start_paused = true)]
async fn the_target_has_8_kib() {
    let target = |len: usize| format!("/{}", "a".repeat(len - 1));
    assert_eq!(answer(&get(&target(8 * 1024))).await, "HTTP/1.1 200 OK");
    for len in [8 * 1024 + 1, 20_000, 40_000] {
        assert_eq!(answer(&get(&target(len))).await, "HTTP/1.1 414 URI Too Long", "{len}");
        assert_eq!(h2_status(h2_request(&target(len))).await, 414, "{len}");
    }
    assert_eq!(h2_status(h2_request(&target(8_000))).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_head_has_64_fields() {
    assert_eq!(answer(&with_fields(64, "1")).await, "HTTP/1.1 200 OK");
    // Above 100 the parser itself refuses.
    for count in [65, 100, 101, 500] {
        assert_eq!(answer(&with_fields(count, "1")).await, "HTTP/1.1 431 Request Header Fields Too Large", "{count}");
        assert_eq!(h2_status(h2_with_fields(count, "1")).await, 431, "{count}");
    }
    assert_eq!(h2_status(h2_with_fields(60, "1")).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_head_has_16_kib() {
    assert_eq!(answer(&with_fields(15, &"v".repeat(1_000))).await, "HTTP/1.1 200 OK");
    assert_eq!(h2_status(h2_with_fields(15, &"v".repeat(1_000))).await, 200);
    for len in [1_200, 2_000, 20_000] {
        let value = "v".repeat(len);
        assert_eq!(answer(&with_fields(15, &value)).await, "HTTP/1.1 431 Request Header Fields Too Large", "{len}");
    }
    // Far above that HTTP/2 ends the whole connection.
    for len in [1_200, 2_000, 5_000] {
        assert_eq!(h2_status(h2_with_fields(15, &"v".repeat(len))).await, 431, "{len}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_in_the_callers_words() {
    let mut line = line(Limits::http());
    line.send(&get(&format!("/{}", "a".repeat(9_000)))).await;
    let answer = line.until("too long\n").await;
    assert!(answer.contains("content-type: text/plain"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_body_has_64_kib() {
    let post = |len: usize| format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n");
    let mut exact = line(Limits::http());
    exact.send(&post(64 * 1024)).await;
    exact.send(&"x".repeat(64 * 1024)).await;
    exact.until("65536 bytes").await;

    // Said beforehand: refused before a byte of it is sent.
    assert_eq!(answer(&post(64 * 1024 + 1)).await, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(answer(&post(usize::MAX / 4)).await, "HTTP/1.1 413 Payload Too Large");

    // Not said: refused when it is too long.
    let mut chunked = line(Limits::http());
    chunked.send("POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    for _ in 0..5 {
        // The server may stop to read before the last one.
        let _ = chunked.client.write_all(chunk.as_bytes()).await;
    }
    let head = chunked.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");

    let mut request = h2_request("/echo");
    *request.body_mut() = Full::new(Bytes::from(vec![b'x'; 70_000]));
    assert_eq!(h2_status(request).await, 413);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_ignores_a_long_body_answers_all_the_same() {
    let mut line = line(Limits::feed());
    line.send("POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000\r\n\r\n").await;
    line.until("hello").await;
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_known() {
    let mut line = line(Limits::http());
    line.send(&get("/peer")).await;
    line.until("192.0.2.7:4321").await;
}

#[tokio::test]
async fn an_http2_connection_has_128_streams() {
    let (client, io) = duplex(64 * 1024);
    let stage = Stage::new();
    let service = stage.service();
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    tokio::spawn(async move {
        let limits = Arc::new(Limits::http());
        serve_connection(io, peer, service, refuse_plain::<TestBody>, limits, std::future::pending()).await
    });
    let mut sender = h2(client).await;
    // The first answer comes after the client has learnt the limit.
    sender.send_request(h2_request("/hello")).await.unwrap();
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..140 {
        answers.spawn(sender.send_request(h2_request("/wait")));
    }
    while stage.waiting.load(Ordering::SeqCst) < 128 {
        tokio::task::yield_now().await;
    }
    // A request of its own stream limit would have to wait, so that all have been offered is seen on a full pipe only.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        assert_eq!(stage.waiting.load(Ordering::SeqCst), 128);
    }
    stage.tickets.add_permits(140);
    while let Some(answer) = answers.join_next().await {
        assert_eq!(answer.unwrap().unwrap().status(), 200);
    }
}
