//! The memory that request bodies may take together: each takes its share before it is read, or is turned away.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::HttpOptions;
use super::problem::{Code, Problem};

/// Bytes are counted in these, so that their sum fits a semaphore.
const UNIT: usize = 1024;

/// What is left for bodies.
#[derive(Clone)]
pub(super) struct Bodies {
    free: Arc<Semaphore>,
    /// The most that one body can take; what it has beyond is refused when it is read.
    largest: usize,
    total: usize,
}

impl Bodies {
    pub(super) fn new(options: &HttpOptions) -> Self {
        // One body always fits, however small the whole is.
        let total = options.max_bodies_bytes.max(options.max_body_bytes);
        Self { free: Arc::new(Semaphore::new(total.div_ceil(UNIT))), largest: options.max_body_bytes, total }
    }

    /// The share of a body, held until its request is answered. Without an announced length it may become the largest.
    pub(super) fn share(&self, body: &Body) -> Result<OwnedSemaphorePermit, Problem> {
        let announced = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
        let units = announced.map_or(self.largest, |bytes| bytes.min(self.largest)).div_ceil(UNIT);
        Arc::clone(&self.free).try_acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX)).map_err(|_| {
            let detail = format!(
                "request bodies take {} bytes together, as many as this host allows: nothing was executed; repeat the \
                 request after Retry-After seconds",
                self.total
            );
            Problem::new(Code::Overloaded, detail)
        })
    }
}

/// An answer that is a stream may still read the request: it has the share until it ends.
pub(super) fn held(response: Response, share: OwnedSemaphorePermit) -> Response {
    if share.num_permits() == 0 || response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let _until_the_end = &share;
            chunk
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(total: usize, largest: usize) -> Bodies {
        Bodies::new(&HttpOptions { max_bodies_bytes: total, max_body_bytes: largest, ..HttpOptions::default() })
    }

    #[test]
    fn bodies_share_what_there_is_and_give_it_back() {
        let bodies = bodies(4 * UNIT, 3 * UNIT);
        let held = bodies.share(&Body::from(vec![0; 2 * UNIT])).expect("half of it is free");
        let unannounced = || Body::from_stream(futures_util::stream::empty::<Result<Vec<u8>, std::io::Error>>());
        let refused = bodies.share(&unannounced()).expect_err("it may become three units");
        assert_eq!(refused.summary(), (429, "overloaded"));
        assert!(bodies.share(&Body::empty()).is_ok(), "a read takes nothing");
        drop(held);
        assert!(bodies.share(&unannounced()).is_ok());
    }

    #[test]
    fn an_answer_that_is_a_stream_keeps_the_share_of_its_request() {
        let bodies = bodies(4 * UNIT, 4 * UNIT);
        let share = || bodies.share(&Body::from(vec![0; 3 * UNIT]));
        let stream = Body::from_stream(futures_util::stream::empty::<Result<Vec<u8>, std::io::Error>>());
        let answer = held(Response::new(stream), share().expect("it is free"));
        assert!(share().is_err());
        drop(answer);
        let answer = held(Response::new(Body::from("done")), share().expect("it is free again"));
        assert!(share().is_ok(), "what is answered as a whole has read its request");
        drop(answer);
    }

    #[test]
    fn the_largest_body_always_fits_and_a_larger_one_is_refused_when_it_is_read() {
        let bodies = bodies(UNIT, 3 * UNIT);
        assert!(bodies.share(&Body::from(vec![0; 9 * UNIT])).is_ok());
    }
}
