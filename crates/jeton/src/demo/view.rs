//! How the play is told: lines in any case, and a line of live counts where there is a terminal.

use std::{
    io::IsTerminal as _,
    sync::{Arc, Mutex},
    time::Instant,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{exit::Failure, output};

/// Where the play is told.
#[derive(Clone)]
pub struct View {
    started: Instant,
    bar: Option<ProgressBar>,
    act: Arc<Mutex<String>>,
}

impl View {
    pub fn new(headless: bool) -> Self {
        let live = !headless && std::io::stderr().is_terminal();
        let bar = live.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(std::time::Duration::from_millis(100));
            bar
        });
        Self { started: Instant::now(), bar, act: Arc::default() }
    }

    /// A new act begins.
    pub fn act(&self, number: u32, title: &str) -> Result<(), Failure> {
        if let Ok(mut act) = self.act.lock() {
            title.clone_into(&mut act);
        }
        self.say("")?;
        self.say(&format!("Act {number}  {title}"))
    }

    /// Something happened.
    pub fn tell(&self, text: &str) -> Result<(), Failure> {
        self.say(&format!("[{:5.1} s] {text}", self.started.elapsed().as_secs_f64()))
    }

    /// What runs beneath, told anew all the time: the act, and what `counts` says.
    pub fn live(&self, counts: impl Fn() -> String + Send + 'static) {
        let Some(bar) = self.bar.clone() else { return };
        let act = self.act.clone();
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(std::time::Duration::from_millis(100));
            while !bar.is_finished() {
                beat.tick().await;
                let act = act.lock().map(|act| act.clone()).unwrap_or_default();
                bar.set_message(format!("{act}: {}", counts()));
            }
        });
    }

    /// No more counts.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::line(text)),
            None => output::line(text),
        }
    }
}
