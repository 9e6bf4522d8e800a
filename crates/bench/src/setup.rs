//! What every part is given: the binary, a folder on a real filesystem, the sizes.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use jeton_testkit::Jeton;

use crate::figure::Aim;

/// What every part is given.
pub struct Setup {
    program: Option<PathBuf>,
    /// Where data folders are made.
    pub folder: PathBuf,
    /// Tiny sizes.
    pub small: bool,
}

impl Setup {
    pub const fn new(program: Option<PathBuf>, folder: PathBuf, small: bool) -> Self {
        Self { program, folder, small }
    }

    /// `full`, or `small` where the run only shows that everything works.
    pub const fn size(&self, full: u64, small: u64) -> u64 {
        if self.small { small } else { full }
    }

    /// How often product and anchor take turns.
    pub const fn rounds(&self) -> u64 {
        self.size(5, 1)
    }

    /// How long each turn takes, for what is counted over time.
    pub const fn turn(&self) -> Duration {
        Duration::from_millis(self.size(3_000, 100))
    }

    /// What a figure should be; of tiny sizes nothing can be said.
    pub const fn aim(&self, aim: Aim) -> Aim {
        if self.small { Aim::None } else { aim }
    }

    /// The product, in a new folder.
    pub fn jeton(&self) -> Jeton {
        Jeton::at(self.program.clone().unwrap_or_else(|| built(self.small)), &self.folder)
    }
}

/// The binary beside this one, built from what the tree is now: nothing is worse than figures of something else.
fn built(small: bool) -> PathBuf {
    let own = std::env::current_exe().expect("this program's own path");
    let path = own.parent().unwrap_or(Path::new(".")).join("jeton");
    let Some(cargo) = std::env::var_os("CARGO") else { return path };
    let mut build = Command::new(cargo);
    build.args(["build", "--locked", "--quiet", "--package", "jeton"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    } else if !small {
        panic!("figures are those of a release build: cargo run --release -p jeton-bench");
    }
    let status = build.status().expect("cargo runs");
    assert!(status.success(), "the product does not build");
    path
}

/// This program as a child, to do one thing in a process of its own.
pub fn child(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program's own path"));
    command.arg("child").args(arguments);
    command
}
