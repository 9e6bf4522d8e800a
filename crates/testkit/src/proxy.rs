//! A proxy that does to TCP connections what networks do to them, as a socket tells it to.
//!
//! Guarantee: what it carries is carried in order and whole, unless it was told to flip bits; a connection that lost bytes never carries
//! another one, as on a network. Not guaranteed: how much is under way when a command comes.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::Dice;

/// What one direction does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Way {
    /// Carries it on.
    #[default]
    Pass,
    /// Carries it on later: so many milliseconds, and up to so many more.
    Delay(u64, u64),
    /// Nothing arrives, and all of it is kept.
    Hold,
    /// Nothing arrives, and none of it is kept: a connection that has lost something stays silent.
    Drop,
    /// One bit of about every so manyeth byte is another one.
    Flip(u64),
}

#[derive(Debug, Clone, Copy)]
struct Told {
    target: SocketAddr,
    /// From whoever connects to the target.
    up: Way,
    /// Back.
    down: Way,
    /// How often all connections were cut.
    resets: u64,
    /// How often the far half of all connections was cut, and the near one left open.
    halves: u64,
}

/// A proxy in front of one address. Its control socket takes lines: `up WAY`, `down WAY` and `both WAY`, where `WAY` is `pass`, `delay MS
/// JITTER`, `hold`, `drop` or `flip N`; `target ADDRESS`; `reset` and `half`. Each is answered by `ok`, or by what is wrong with it.
pub struct Proxy {
    /// Where it is entered.
    pub address: SocketAddr,
    /// Where it is told what to do.
    pub control: SocketAddr,
    told: watch::Sender<Told>,
    tasks: [JoinHandle<()>; 2],
}

impl Proxy {
    /// Carries whatever comes to an address of its own on to `target`. Jitter and flips are by `dice`.
    pub async fn to(target: SocketAddr, mut dice: Dice) -> Self {
        let first = Told { target, up: Way::Pass, down: Way::Pass, resets: 0, halves: 0 };
        let (told, watched) = watch::channel(first);
        let (entrance, commands) = tokio::join!(TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
        let (entrance, commands) = (entrance.unwrap(), commands.unwrap());
        let (address, control) = (entrance.local_addr().unwrap(), commands.local_addr().unwrap());
        let carrying = tokio::spawn(async move {
            while let Ok((near, _)) = entrance.accept().await {
                tokio::spawn(carry(near, watched.clone(), dice.split()));
            }
        });
        let state = told.clone();
        let listening = tokio::spawn(async move {
            while let Ok((socket, _)) = commands.accept().await {
                tokio::spawn(listen(socket, state.clone()));
            }
        });
        Self { address, control, told, tasks: [carrying, listening] }
    }

    /// Gives a command through the control socket.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn tell(&self, command: &str) {
        let mut socket = BufReader::new(TcpStream::connect(self.control).await.unwrap());
        socket.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_line(&mut answer).await.unwrap();
        assert_eq!(answer, "ok\n", "{command}");
    }

    /// The same without a wait, for what cannot wait.
    pub(crate) fn apply(&self, command: &str) {
        change(&self.told, command).unwrap_or_else(|wrong| panic!("{command}: {wrong}"));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn listen(socket: TcpStream, told: watch::Sender<Told>) {
    let mut socket = BufReader::new(socket);
    let mut line = String::new();
    while socket.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        let answer = change(&told, line.trim_end()).map_or_else(|wrong| format!("{wrong}\n"), |()| "ok\n".to_owned());
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
}

fn change(told: &watch::Sender<Told>, command: &str) -> Result<(), &'static str> {
    let words: Vec<&str> = command.split(' ').collect();
    match words[..] {
        ["target", address] => {
            let target = address.parse().map_err(|_| "no address")?;
            told.send_modify(|told| told.target = target);
        }
        ["reset"] => told.send_modify(|told| told.resets += 1),
        ["half"] => told.send_modify(|told| told.halves += 1),
        ["up", ref way @ ..] => {
            let way = parse(way)?;
            told.send_modify(|told| told.up = way);
        }
        ["down", ref way @ ..] => {
            let way = parse(way)?;
            told.send_modify(|told| told.down = way);
        }
        ["both", ref way @ ..] => {
            let way = parse(way)?;
            told.send_modify(|told| (told.up, told.down) = (way, way));
        }
        _ => return Err("no such command"),
    }
    Ok(())
}

fn parse(words: &[&str]) -> Result<Way, &'static str> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| "no number");
    Ok(match *words {
        ["pass"] => Way::Pass,
        ["hold"] => Way::Hold,
        ["drop"] => Way::Drop,
        ["delay", ms, jitter] => Way::Delay(number(ms)?, number(jitter)?),
        ["flip", every] => Way::Flip(number(every)?.max(1)),
        _ => return Err("no such way"),
    })
}

/// One connection, which ends when both of its ends have closed it, or the proxy is gone.
async fn carry(mut near: TcpStream, mut told: watch::Receiver<Told>, mut dice: Dice) {
    // Nobody is refused by a network that is silent.
    let silent = |told: &Told| matches!(told.up, Way::Hold | Way::Drop) || matches!(told.down, Way::Hold | Way::Drop);
    let (resets, halves) = (told.borrow().resets, told.borrow().halves);
    let target = match told.wait_for(|told| !silent(told) || told.resets > resets).await {
        Ok(told) if told.resets == resets => told.target,
        _ => return,
    };
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let cut = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let up = one_way(near_read, far_write, told.clone(), |told| told.up, dice.split());
        let down = one_way(far_read, near_write, told.clone(), |told| told.down, dice.split());
        let mut heard = told.clone();
        tokio::select! {
            _ = async { tokio::join!(up, down) } => false,
            _ = heard.wait_for(|told| told.resets > resets || told.halves > halves) => true,
        }
    };
    if !cut {
        return;
    }
    let _ = far.set_zero_linger();
    drop(far);
    if told.borrow().resets == resets {
        // What it sends from here on is heard by nobody, and it is not told so.
        let _ = told.wait_for(|told| told.resets > resets).await;
    }
    let _ = near.set_zero_linger();
}

async fn one_way(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut told: watch::Receiver<Told>,
    way: fn(&Told) -> Way,
    mut dice: Dice,
) {
    let (mut buffer, mut lost) = (vec![0; 16 * 1024], false);
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let now = match told.wait_for(|told| way(told) != Way::Hold).await {
            Ok(told) => way(&told),
            Err(_) => return,
        };
        lost |= now == Way::Drop;
        if lost {
            if read == 0 {
                // Its end is lost as well.
                let _ = told.wait_for(|_| false).await;
                return;
            }
            continue;
        }
        if read == 0 {
            let _ = to.shutdown().await;
            return;
        }
        match now {
            Way::Delay(ms, jitter) => {
                let more = dice.below(usize::try_from(jitter).unwrap() + 1);
                tokio::time::sleep(Duration::from_millis(ms) + Duration::from_millis(more as u64)).await;
            }
            Way::Flip(every) => {
                for byte in &mut buffer[..read] {
                    if dice.below(usize::try_from(every).unwrap()) == 0 {
                        *byte ^= 1 << dice.below(8);
                    }
                }
            }
            Way::Pass | Way::Hold | Way::Drop => {}
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that answers what it is told.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn said(socket: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        socket.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        socket.read_exact(&mut answer).await?;
        Ok(answer)
    }

    /// Whether nothing comes for a while.
    async fn silent(socket: &mut TcpStream) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(200), socket.read(&mut byte)).await.is_err()
    }

    #[tokio::test]
    async fn each_fault_does_what_it_says() {
        let proxy = Proxy::to(echo().await, Dice::fixed(1)).await;
        let mut one = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(said(&mut one, b"hello").await.unwrap(), b"hello");

        proxy.tell("up hold").await;
        one.write_all(b"kept").await.unwrap();
        assert!(silent(&mut one).await);
        proxy.tell("up pass").await;
        let mut kept = [0; 4];
        one.read_exact(&mut kept).await.unwrap();
        assert_eq!(&kept, b"kept");

        proxy.tell("both flip 1").await;
        assert_ne!(said(&mut one, b"hello").await.unwrap(), b"hello");
        proxy.tell("both delay 1 2").await;
        assert_eq!(said(&mut one, b"later").await.unwrap(), b"later");

        proxy.tell("down drop").await;
        one.write_all(b"lost").await.unwrap();
        assert!(silent(&mut one).await);
        proxy.tell("both pass").await;
        one.write_all(b"lost too").await.unwrap();
        assert!(silent(&mut one).await, "a gap in a stream is never jumped over");

        let mut two = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(said(&mut two, b"hello").await.unwrap(), b"hello");
        proxy.tell("half").await;
        two.write_all(b"to nobody").await.unwrap();
        assert!(silent(&mut two).await);
        proxy.tell("reset").await;
        assert_eq!(two.read(&mut [0]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);

        proxy.tell(&format!("target {}", echo().await)).await;
        let mut three = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(said(&mut three, b"there").await.unwrap(), b"there");
    }

    #[tokio::test]
    async fn what_is_no_command_is_refused() {
        let proxy = Proxy::to(echo().await, Dice::fixed(1)).await;
        let mut socket = BufReader::new(TcpStream::connect(proxy.control).await.unwrap());
        for wrong in ["", "up", "up delay x 1", "target here", "sideways drop"] {
            socket.write_all(format!("{wrong}\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_line(&mut answer).await.unwrap();
            assert!(answer.starts_with("no "), "{wrong}: {answer}");
        }
    }
}
