use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_silent_connection_ends_after_five_seconds() {
    let line = line(Limits::http());
    let (closed, after) = line.ended().await;
    assert!(matches!(closed, Closed::Silent), "{closed}");
    assert_eq!(after.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_dripping_head_ends_five_seconds_after_its_first_byte() {
    let mut line = line(Limits::http());
    tokio::time::sleep(3 * SECOND).await;
    line.send("GET /hello HTTP/1.1\r\nX-Drip: ").await;
    while line.client.write_all(b"x").await.is_ok() {
        tokio::time::sleep(SECOND).await;
    }
    let (closed, after) = line.ended().await;
    assert!(matches!(closed, Closed::SlowHead), "{closed}");
    assert_eq!(after.as_secs(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_second_head_must_not_drip_either() {
    let mut line = line(Limits::http());
    line.send(&get("/hello")).await;
    line.until("hello").await;
    tokio::time::sleep(60 * SECOND).await;
    line.send("GET").await;
    let (closed, after) = line.ended().await;
    assert!(matches!(closed, Closed::SlowHead), "{closed}");
    assert_eq!(after.as_secs(), 65);
}

#[tokio::test(start_paused = true)]
async fn half_a_preface_is_half_a_head() {
    let mut line = line(Limits::http());
    line.send("PRI * HTTP/2.0\r\n").await;
    let (closed, after) = line.ended().await;
    assert!(matches!(closed, Closed::SlowHead), "{closed}");
    assert_eq!(after.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_preface_alone_is_half_a_head() {
    let mut line = line(Limits::http());
    line.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let (closed, after) = line.ended().await;
    assert!(matches!(closed, Closed::SlowHead), "{closed}");
    assert_eq!(after.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_http2_head_without_its_end_is_slow() {
    let mut line = line(Limits::http());
    line.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    line.client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    tokio::time::sleep(2 * SECOND).await;
    // HEADERS of stream 1, three bytes, without END_HEADERS; then a CONTINUATION that never ends.
    line.client.write_all(&[0, 0, 3, 1, 0, 0, 0, 0, 1, 0x82, 0x86, 0x84]).await.unwrap();
    line.client.write_all(&[0, 1, 0, 9, 0, 0, 0, 0, 1]).await.unwrap();
    while line.client.write_all(&[0]).await.is_ok() {
        tokio::time::sleep(SECOND / 2).await;
    }
    let (closed, after) = line.ended().await;
    assert!(matches!(closed, Closed::SlowHead), "{closed}");
    assert_eq!(after.as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn keep_alive_lasts_75_seconds_from_the_last_answer() {
    let mut line = line(Limits::http());
    line.send(&get("/hello")).await;
    line.until("hello").await;
    tokio::time::sleep(70 * SECOND).await;
    line.send(&get("/hello")).await;
    line.until("hello").await;
    assert_eq!(line.rest().await, "");
    let (closed, after) = line.ended().await;
    assert!(matches!(closed, Closed::Idle), "{closed}");
    assert_eq!(after.as_secs(), 145);
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_connection_gets_a_goaway() {
    let Line { client, server } = line(Limits::http());
    let mut sender = h2(client).await;
    for _ in 0..2 {
        assert_eq!(text_of(sender.send_request(h2_request("/hello")).await.unwrap()).await, "hello");
        tokio::time::sleep(70 * SECOND).await;
    }
    // An HTTP/2 client that answers pings all the time is idle nevertheless.
    let (closed, after) = server.await.unwrap();
    assert!(matches!(closed, Closed::Idle), "{closed}");
    assert_eq!(after.as_secs(), 145);
    assert!(sender.ready().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_http2_peer_that_answers_no_ping_is_dropped() {
    let mut line = line(Limits::http());
    line.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    line.client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let (closed, after) = line.ended().await;
    assert!(matches!(closed, Closed::Broken(_)), "{closed}");
    assert_eq!(after.as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_is_not_cut() {
    let mut first = line(Limits::http());
    first.send(&get("/minutes")).await;
    first.until("slow").await;

    let Line { client, server: _server } = line(Limits::http());
    let response = h2(client).await.send_request(h2_request("/minutes")).await.unwrap();
    assert_eq!(text_of(response).await, "slow");
}

#[tokio::test(start_paused = true)]
async fn a_body_has_ten_seconds() {
    let mut line = line(Limits::http());
    line.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n").await;
    let began = Instant::now();
    for _ in 0..4 {
        line.send("x").await;
        tokio::time::sleep(2 * SECOND).await;
    }
    let answer = line.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.ends_with("the request body did not arrive in time\n"),
        "{answer}"
    );
    assert_eq!(began.elapsed().as_secs(), 10);
    line.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_feed_may_take_its_time_with_a_body() {
    let mut line = line(Limits::feed());
    line.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\n").await;
    for _ in 0..4 {
        tokio::time::sleep(100 * SECOND).await;
        line.send("x").await;
    }
    line.until("4 bytes").await;
}

#[tokio::test(start_paused = true)]
async fn a_response_that_nobody_takes_ends_the_connection() {
    for path in ["/pieces", "/large"] {
        let mut line = line(Limits::http());
        line.send(&get(path)).await;
        line.until("xxx").await;
        let (closed, after) = line.ended().await;
        assert!(matches!(closed, Closed::Stalled), "{closed}");
        assert_eq!(after.as_secs(), 30);
    }

    let Line { client, server } = line(Limits::http());
    let mut sender = h2(client).await;
    let response = sender.send_request(h2_request("/pieces")).await.unwrap();
    let (closed, after) = server.await.unwrap();
    assert!(matches!(closed, Closed::Stalled), "{closed}");
    assert_eq!(after.as_secs(), 30);
    drop(response);
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_quiet() {
    let mut first = line(Limits::http());
    first.send(&get("/quiet")).await;
    first.until("at last").await;

    let Line { client, server: _server } = line(Limits::http());
    let response = h2(client).await.send_request(h2_request("/quiet")).await.unwrap();
    assert_eq!(text_of(response).await, "at last");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_a_silent_one() {
    for path in ["/large", "/pieces"] {
        let mut line = line(Limits::http());
        line.send(&get(path)).await;
        line.until("\r\n\r\n").await;
        let mut bytes = 0;
        let mut piece = vec![0; 256 * 1024];
        while bytes < 4 << 20 {
            bytes += line.client.read(&mut piece).await.unwrap();
            tokio::time::sleep(SECOND).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_peer_that_ignores_the_goaway_is_dropped() {
    let limits = Limits { idle: 3 * SECOND, ..Limits::http() };
    let mut line = line(limits);
    line.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    line.client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let (closed, after) = line.ended().await;
    assert!(matches!(closed, Closed::Lingering), "{closed}");
    assert_eq!(after.as_secs(), 8);
}
