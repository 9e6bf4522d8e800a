//! The operating system's wish that the process ends.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Which signal asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: a service manager or an orchestrator.
    Terminate,
    /// SIGINT: a person at a terminal.
    Interrupt,
}

impl Signal {
    /// The signal's usual name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }
}

/// Begins to listen for SIGTERM and SIGINT at once; the future ends with the first of them that comes.
///
/// Call it before the first port opens: a signal that comes earlier still ends the process the hard way.
///
/// # Errors
/// When the process may not install a handler. Must be called inside a tokio runtime.
pub fn shutdown_signal() -> io::Result<impl Future<Output = Signal> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => Signal::Terminate,
            _ = interrupt.recv() => Signal::Interrupt,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn terminate_ends_the_future() {
        let ended = shutdown_signal().unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
        assert_eq!(ended.await, Signal::Terminate);
    }
}
