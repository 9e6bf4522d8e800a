/// A place that one process at a time can hold: a lock file by its inode, on the kernel that was booted under this id
/// (`feed-protocol.md` 27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The kernel's boot id.
    pub boot: [u8; 16],
    /// The device of the lock file, asked of the locked descriptor.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}
