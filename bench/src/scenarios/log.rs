//! The log and a long stream read from beginning to end, beside PostgreSQL's own COPY of the same rows.
//!
//! A stream is read in pages only: the host has no lines for it.

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

use super::fill::{self, Names, Streams};
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

/// What is measured, in the order of the rates.
const NAMES: [&str; 5] = [
    "whole log, JSON pages",
    "whole log, NDJSON",
    "whole log, COPY",
    "one stream of 50,000, JSON pages",
    "one stream of 50,000, COPY",
];

pub(super) async fn measure(site: &Site, folder: &Path, effort: Effort, results: &mut Results) -> Result<()> {
    // Its start makes the tables.
    site.another_host(folder, DATABASE).await?.stop().await?;
    let events = effort.read_events();
    let short = Streams { prefix: "short-", names: Names::Numbered, count: (events - LONG) / 10, length: 10 };
    fill::log(&site.postgres, DATABASE, short).await?;
    fill::log(&site.postgres, DATABASE, Streams { prefix: "long-", count: 1, length: LONG, ..short }).await?;
    let host = site.another_host(folder, DATABASE).await?;
    let mut rates: [Vec<f64>; NAMES.len()] = Default::default();
    // The first round warms up.
    for round in 0..=ROUNDS {
        let one = [
            pages(host.address, &format!("/v1/events?limit={PAGE}"), events).await?,
            lines(host.address, "/v1/events", events).await?,
            copy(site, "true", "position", events).await?,
            pages(host.address, &format!("/v1/streams/account/long-1/events?limit={PAGE}"), LONG).await?,
            copy(site, OF_LONG, "version", LONG).await?,
        ];
        eprintln!("log, events/s: {one:.0?}");
        if round > 0 {
            rates.iter_mut().zip(one).for_each(|(rates, rate)| rates.push(rate));
        }
    }
    for (name, rates) in NAMES.into_iter().zip(rates) {
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

/// The rows of the long stream.
const OF_LONG: &str = "tenant_id = 'default' AND aggregate_type = 'account' AND stream_id = 'long-1'";

/// Has the server write these rows, with all that a reader of the log gets of them, as psql's `\copy` does; events a second.
async fn copy(site: &Site, rows: &str, order: &str, events: u64) -> Result<f64> {
    let admin = site.postgres.connect(ADMIN, DATABASE).await?;
    let statement = format!(
        "COPY (SELECT position, tenant_id, aggregate_type, stream_id, version, event_id, event_type, schema_version, \
         occurred_at, created_at, payload, metadata FROM everfold.event_store WHERE {rows} ORDER BY {order}) TO STDOUT"
    );
    let begin = Instant::now();
    let rows = admin.copy_out(&statement).await?;
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
