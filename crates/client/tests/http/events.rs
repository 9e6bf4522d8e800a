//! Following the events over broken streams.

use jeton_client::{Followed, Kind, Told};

use crate::fake::{Fake, Reply, problem};

fn stream(text: &str) -> Reply {
    Reply::Answer(200, "content-type: text/event-stream\r\n", text.to_owned())
}

fn change(revision: u64) -> String {
    let at = "2026-01-02T03:04:05.678901Z";
    format!(
        "event: change\nid: {revision}\ndata: {{\"revision\":{revision},\"namespace\":\"acme\",\"committed_at\":\"{at}\",\"changes\":[]}}\n\n"
    )
}

#[tokio::test]
async fn a_stream_that_breaks_is_opened_after_the_last_change() {
    let script = [
        stream(&format!("{}{}", change(7), change(8))),
        Reply::Hangup,
        problem(503, "unavailable", ""),
        stream(&format!(": still here\n\n{}event: tomorrow\ndata: {{}}\n\n", change(9))),
        problem(403, "forbidden", ""),
    ];
    let fake = Fake::playing(script).await;
    let mut follow = fake.client().follow(None);
    let mut told = Vec::new();
    let end = loop {
        match follow.next().await {
            Ok(Followed::Event(event)) => match event.read().unwrap() {
                Told::Change(change) => told.push(change.revision.to_string()),
                other => told.push(format!("{other:?}")),
            },
            Ok(Followed::Broken(_)) => told.push("broken".to_owned()),
            Err(error) => break error,
        }
    };
    assert_eq!(told, ["7", "8", "broken", "broken", "broken", "9", "Other", "broken"]);
    assert_eq!(end.kind(), Kind::Refused);
    let eight = Some("8".to_owned());
    let nine = Some("9".to_owned());
    assert_eq!(fake.headers("last-event-id"), [None, eight.clone(), eight.clone(), eight, nine]);
    assert_eq!(fake.pace.pauses(), [1_000; 4]);
}

#[tokio::test]
async fn the_first_time_there_is_nothing_to_come_back_to() {
    let fake = Fake::playing([Reply::Hangup]).await;
    assert_eq!(fake.client().follow(None).next().await.unwrap_err().kind(), Kind::Unreachable);
}
