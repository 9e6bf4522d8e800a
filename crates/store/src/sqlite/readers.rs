//! Connections that read. Reads block, so they run on tokio's blocking threads, as many at once as there are
//! connections. Snapshots are long and have connections of their own, so that they never hold up a verification.

use std::{
    fmt,
    num::NonZero,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::open;
use crate::StoreError;

const READERS_MIN: usize = 2;
const READERS_MAX: usize = 8;
const SNAPSHOTS_MAX: usize = 2;

/// Both pools.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    short: Pool,
    long: Pool,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let cores = thread::available_parallelism().map_or(READERS_MIN, NonZero::get);
        Ok(Self {
            short: Pool::open(path, cores.clamp(READERS_MIN, READERS_MAX))?,
            long: Pool::open(path, SNAPSHOTS_MAX)?,
        })
    }

    /// A read that takes a moment.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.short.run(work).await
    }

    /// A read that may take as long as its reader.
    pub(super) async fn read_long<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.long.run(work).await
    }
}

#[derive(Clone)]
struct Pool {
    idle: Arc<Mutex<Vec<Connection>>>,
    /// As many as there are connections: who holds one finds a connection idle.
    permits: Arc<Semaphore>,
}

impl Pool {
    fn open(path: &Path, size: usize) -> Result<Self, StoreError> {
        let idle: Vec<Connection> = (0..size).map(|_| open::open_reader(path)).collect::<Result<_, _>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits: Arc::new(Semaphore::new(size)) })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("the store is closing".to_owned());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let lent = Lent::take(&self.idle, permit).ok_or_else(closed)?;
        let done = tokio::task::spawn_blocking(move || match &lent.conn {
            Some(conn) => work(conn),
            None => Err(StoreError::Unavailable("no connection".to_owned())),
        });
        match done.await {
            // A file that cannot be read is no reason to stop writing; the writer finds out for itself.
            Ok(Err(StoreError::Stopped(message))) => Err(StoreError::Unavailable(message)),
            Ok(answer) => answer,
            Err(error) => Err(StoreError::Unavailable(format!("a read was given up: {error}"))),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("permits", &self.permits).finish_non_exhaustive()
    }
}

/// A connection that goes back when dropped, also by a panic or a runtime that ends.
struct Lent {
    conn: Option<Connection>,
    home: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    fn take(home: &Arc<Mutex<Vec<Connection>>>, permit: OwnedSemaphorePermit) -> Option<Self> {
        let conn = idle(home).pop()?;
        Some(Self { conn: Some(conn), home: Arc::clone(home), _permit: permit })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            idle(&self.home).push(conn);
        }
    }
}

fn idle(home: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    home.lock().unwrap_or_else(PoisonError::into_inner)
}
