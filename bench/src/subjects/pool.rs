//! A fixed number of connections that clients take in turn.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The pool. Clones share it.
pub(super) struct Pool<T> {
    free: Arc<Mutex<Vec<T>>>,
    places: Arc<Semaphore>,
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self { free: self.free.clone(), places: self.places.clone() }
    }
}

impl<T> Pool<T> {
    /// A pool of these.
    pub(super) fn new(connections: Vec<T>) -> Self {
        let places = Arc::new(Semaphore::new(connections.len()));
        Self { free: Arc::new(Mutex::new(connections)), places }
    }

    /// Waits for one.
    pub(super) async fn take(&self) -> Result<Taken<T>> {
        let place = self.places.clone().acquire_owned().await?;
        let connection = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Taken { connection: connection.context("the pool counts wrongly")?, place })
    }

    /// Puts it back. One that failed isn't put back, and its place is gone with it.
    pub(super) fn put_back(&self, taken: Taken<T>) {
        let Taken { connection, place } = taken;
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        // Only now: whoever gets the place finds a connection.
        drop(place);
    }
}

/// A connection that is in use.
pub(super) struct Taken<T> {
    pub(super) connection: T,
    place: OwnedSemaphorePermit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_are_as_many_as_were_put_in() {
        let pool = Pool::new(vec![1, 2]);
        let (one, two) = (pool.take().await.unwrap(), pool.take().await.unwrap());
        assert_ne!(one.connection, two.connection);
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.take().await.unwrap().connection }
        });
        let first = one.connection;
        pool.put_back(one);
        assert_eq!(waiting.await.unwrap(), first);
    }
}
