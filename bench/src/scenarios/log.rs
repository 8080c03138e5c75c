//! The log and a long stream read from beginning to end, beside PostgreSQL's own COPY of the same rows.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::fill::{self, Streams};
use crate::effort::Effort;
use crate::results::Results;
use crate::site::{ADMIN, Site};
use crate::stats::median;
use crate::wire::Wire;

const DATABASE: &str = "reading";

/// Events of a page: the most that a host gives by default.
const PAGE: u64 = 1_000;

/// Events of the one long stream, part of the log.
const LONG: u64 = 50_000;

/// Times that each is read, in turn.
const ROUNDS: usize = 3;

/// The rows with what a reader of the log gets.
const COPY: &str = "COPY (SELECT position, tenant_id, aggregate_type, stream_id, version, event_id, event_type, \
                    schema_version, occurred_at, created_at, payload, metadata FROM everfold.event_store \
                    ORDER BY position) TO STDOUT";

pub(super) async fn measure(site: &Site, folder: &Path, effort: Effort, results: &mut Results) -> Result<()> {
    // Its start makes the tables.
    site.another_host(folder, DATABASE).await?.stop().await?;
    let events = effort.read_events();
    let (short, long) = (Streams { prefix: "short-", count: (events - LONG) / 10, length: 10 }, LONG);
    fill::log(&site.postgres, DATABASE, short).await?;
    fill::log(&site.postgres, DATABASE, Streams { prefix: "long-", count: 1, length: long }).await?;
    let host = site.another_host(folder, DATABASE).await?;
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let whole = format!("/v1/events?limit={PAGE}");
        rates[0].push(pages(host.address, &whole, events).await?);
        rates[1].push(lines(host.address, "/v1/events", events).await?);
        let stream = format!("/v1/streams/account/long-1/events?limit={PAGE}");
        rates[2].push(pages(host.address, &stream, long).await?);
        rates[3].push(copy(site, events).await?);
        eprintln!("log: {:.0?}", rates.iter().filter_map(|rates| rates.last()).collect::<Vec<_>>());
    }
    let names = ["whole log, JSON pages", "whole log, NDJSON", "one stream, JSON pages", "whole log, COPY"];
    for (name, rates) in names.into_iter().zip(rates) {
        results.measure(name, median(rates).unwrap_or(f64::NAN), "events/s");
    }
    host.stop().await
}

/// Follows the pages from the first to the last; events a second.
async fn pages(host: SocketAddr, first: &str, events: u64) -> Result<f64> {
    let mut wire = Wire::connect(host).await?;
    let (mut next, mut read) = (Some(first.to_owned()), 0);
    let begin = Instant::now();
    while let Some(page) = next {
        let status = wire.get(&page).await?;
        let body = std::str::from_utf8(wire.body())?;
        ensure!(status == 200, "{page}: {status} {body}");
        read += body.matches(r#""event_id":"#).count() as u64;
        next = next_link(body)?.map(str::to_owned);
    }
    ensure!(read == events, "{read} of {events} events were on the pages");
    Ok(events as f64 / begin.elapsed().as_secs_f64())
}

/// The link to the page after this one, found without reading the page's JSON, which would cost more than the page does.
fn next_link(body: &str) -> Result<Option<&str>> {
    let links = body.rfind(r#""links":{"#).map(|at| &body[at..]).context("a page without links")?;
    let next = links.split_once(r#""next":"#).context("a page without a next link")?.1;
    Ok(next.strip_prefix('"').and_then(|rest| rest.split_once('"')).map(|(link, _)| link))
}

/// Reads lines until there are no more; events a second.
async fn lines(host: SocketAddr, path: &str, events: u64) -> Result<f64> {
    let (mut client, connection) = http1::handshake(TokioIo::new(TcpStream::connect(host).await?)).await?;
    tokio::spawn(connection);
    let begin = Instant::now();
    let request = Request::get(path).header("host", "bench").header("accept", "application/x-ndjson");
    let answer = client.send_request(request.body(Empty::<Bytes>::new())?).await?;
    ensure!(answer.status() == StatusCode::OK, "{path}: {}", answer.status());
    let (mut body, mut read) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        let lines = frame?.into_data().map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count());
        read += lines as u64;
    }
    ensure!(read == events, "{read} of {events} events were lines");
    Ok(events as f64 / begin.elapsed().as_secs_f64())
}

/// Has the server write the rows; events a second.
async fn copy(site: &Site, events: u64) -> Result<f64> {
    let admin = site.postgres.connect(ADMIN, DATABASE).await?;
    let begin = Instant::now();
    let rows = admin.copy_out(COPY).await?;
    let read: u64 = rows.try_fold(0, |read, _: Bytes| async move { Ok(read + 1) }).await?;
    ensure!(read == events, "{read} of {events} rows were copied");
    Ok(events as f64 / begin.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_behind_the_events() {
        let page =
            r#"{"events":[{"payload":{"links":{"next":"/no"}}}],"links":{"next":"/v1/events?after=1-5","prev":null}}"#;
        assert_eq!(next_link(page).unwrap(), Some("/v1/events?after=1-5"));
        assert_eq!(next_link(r#"{"events":[],"links":{"next":null,"prev":"/a"}}"#).unwrap(), None);
        assert!(next_link("{}").is_err());
    }
}
