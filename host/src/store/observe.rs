//! Looks at the log now and then, so that the metrics know of it also where this host does nothing.

use std::time::Duration;

use tokio::time::{interval, timeout};

use super::{Store, StoreError, metrics};

/// How often the log is looked at. One index probe each time.
const EVERY: Duration = Duration::from_secs(5);

impl Store {
    /// Looks at the log every five seconds, until the task is dropped.
    pub async fn observe(self) {
        let mut turn = interval(EVERY);
        loop {
            turn.tick().await;
            let seen = timeout(EVERY, self.look()).await;
            metrics::DATABASE_UP.set(if matches!(seen, Ok(Ok(()))) { 1.0 } else { 0.0 });
        }
    }

    /// Sets the gauges that only a look at the pools can tell.
    pub fn measure(&self) {
        let (pages, idle_pages) = self.pages.size();
        let idle = self.pool.num_idle() + idle_pages;
        let used = (self.pool.size() as usize + pages).saturating_sub(idle);
        metrics::CONNECTIONS.gauge(["idle"]).set(idle as f64);
        metrics::CONNECTIONS.gauge(["used"]).set(used as f64);
        metrics::LOG_HEAD.set(*self.head.borrow() as f64);
    }

    async fn look(&self) -> Result<(), StoreError> {
        let known = *self.head.borrow();
        let last = sqlx::query!(
            r#"SELECT position, extract(epoch FROM clock_timestamp() - created_at)::float8 AS "age!"
               FROM everfold.event_store ORDER BY position DESC LIMIT 1"#
        )
        .fetch_optional(&self.pool)
        .await?;
        if let Some(last) = last {
            metrics::LOG_AGE.set(last.age);
            metrics::LOG_UNSEEN.set((last.position - known).max(0) as f64);
            self.move_head(last.position);
        }
        Ok(())
    }
}
