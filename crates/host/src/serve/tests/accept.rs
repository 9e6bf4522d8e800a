use std::os::fd::AsRawFd;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;

use super::*;

#[tokio::test]
async fn errors_of_binding_say_what_to_do() {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let first = Listener::bind(any_port, "--http", false).await.unwrap();
    let address = first.address();
    let text = Listener::bind(address, "--http", false).await.unwrap_err().to_string();
    assert_eq!(text, format!("{address} is in use; stop the other process or choose another address with --http"));

    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let text = Listener::bind(everywhere, "--feed", false).await.unwrap_err().to_string();
    assert!(text.contains("0.0.0.0:0 is beyond loopback") && text.contains("--feed") && text.contains("--plaintext"));
    assert!(Listener::bind(everywhere, "--feed", true).await.is_ok());

    let foreign = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
    let text = Listener::bind(foreign, "--http", true).await.unwrap_err().to_string();
    assert_eq!(text, "192.0.2.1:0 is not an address of this machine; choose another with --http");
}

/// The limit of open files is one per process, so this plays in a process of its own.
#[test]
fn without_file_descriptors_it_waits_and_then_goes_on() {
    let me = std::env::current_exe().unwrap();
    let output = Command::new(me)
        .args(["--exact", "serve::tests::accept::child_without_file_descriptors", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
#[ignore = "lowers the limit of open files of its process; run by the test above"]
fn child_without_file_descriptors() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "--http", false).await.unwrap();
        let _client = TcpStream::connect(listener.address()).await.unwrap();
        let before = getrlimit(Resource::Nofile);
        let next_free = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
        let limit = Rlimit { current: Some(u64::try_from(next_free).unwrap()), ..before };
        setrlimit(Resource::Nofile, limit).unwrap();

        let waited = timeout(Duration::from_millis(400), listener.accept()).await;
        assert!(waited.is_err(), "nothing can be accepted");
        // 50, 100, 200 ms: a loop that spins would have tried many thousand times.
        let tries = listener.tries();
        assert!((1..=4).contains(&tries), "{tries} tries");

        setrlimit(Resource::Nofile, before).unwrap();
        listener.accept().await;
    });
}
