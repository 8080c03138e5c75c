//! Limits and times of the HTTP API.

use std::time::Duration;

use super::problem::Problem;

/// Limits and times of the HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// How long a request may take where the caller doesn't say.
    pub default_timeout: Duration,
    /// The longest that a caller may ask for.
    pub max_timeout: Duration,
    /// Entries of a page where the caller doesn't say.
    pub page_limit: i64,
    /// The most entries that a page may have.
    pub max_page_limit: i64,
    /// Bytes of request bodies that may be in memory at once, over all requests.
    pub max_bodies_bytes: usize,
    /// Connections that may be open at once; one more is answered `overloaded` and closed.
    pub max_connections: usize,
    /// Largest head of a request in bytes: request line and headers.
    pub max_head_bytes: usize,
    /// Most headers of a request.
    pub max_headers: usize,
    /// How long a connection may be idle, or take to send the head of a request.
    pub idle_timeout: Duration,
    /// Whether a refused module file makes the host unready.
    pub ready_needs_all_modules: bool,
    /// How long requests in flight may go on once the host ends.
    pub shutdown_grace: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_body_bytes: 4 * 1024 * 1024,
            default_timeout: Duration::from_secs(10),
            max_timeout: Duration::from_secs(60),
            page_limit: 100,
            max_page_limit: 1000,
            // 64 of the largest bodies, thousands of usual ones.
            max_bodies_bytes: 256 * 1024 * 1024,
            // An idle one costs some 20 KiB and a file descriptor.
            max_connections: 10_000,
            max_head_bytes: 32 * 1024,
            max_headers: 100,
            // Above the 60 s that common load balancers keep a connection, so that it is they who close it: a
            // connection that the host closes may just carry their next request.
            idle_timeout: Duration::from_secs(75),
            ready_needs_all_modules: false,
            // Above the default timeout, below the 30 s after which Kubernetes kills.
            shutdown_grace: Duration::from_secs(15),
        }
    }
}

impl HttpOptions {
    /// The page size that is asked for, or the default.
    pub(super) fn page(&self, asked: Option<i64>) -> Result<i64, Problem> {
        let max = self.max_page_limit;
        match asked {
            None => Ok(self.page_limit.min(max)),
            Some(limit) if (1..=max).contains(&limit) => Ok(limit),
            Some(limit) => {
                Err(Problem::invalid(format!("the query string: limit is {limit}, but 1 to {max} may be read at once")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_default_and_bounds() {
        let options = HttpOptions::default();
        assert_eq!(options.page(None).expect("valid"), 100);
        assert_eq!(options.page(Some(1000)).expect("valid"), 1000);
        for limit in [0, -1, 1001] {
            assert_eq!(options.page(Some(limit)).expect_err("refused").summary(), (400, "invalid"), "{limit}");
        }
    }
}
