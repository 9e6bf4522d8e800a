use std::time::Duration;

use jeton_types::{BootTime, UnixTime};

/// One step's reading of the boot clock and of authority time. The first decides, the second is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) boot: BootTime,
    pub(super) authority: UnixTime,
}

impl Moment {
    /// Authority time of a moment on the boot clock.
    pub(super) fn authority_at(self, boot: BootTime) -> UnixTime {
        if boot >= self.boot {
            self.authority.plus(boot.since(self.boot))
        } else {
            self.authority.minus(self.boot.since(boot))
        }
    }

    /// Time passed on the boot clock.
    pub(super) const fn since(self, earlier: BootTime) -> Duration {
        self.boot.since(earlier)
    }
}
