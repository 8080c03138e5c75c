//! Where the time of a command goes: the host's own clocks along its path, and the processors' time of all three.

use anyhow::Result;

use crate::effort::Effort;
use crate::results::{Budget, Results};
use crate::sample::Sample;
use crate::site::{Metrics, Site};
use crate::subjects::run_http;
use crate::work::Work;

/// Numbers in flight.
const LEVELS: [usize; 3] = [1, 64, 256];

pub(super) async fn measure(site: &Site, effort: Effort, results: &mut Results) -> Result<()> {
    for in_flight in LEVELS {
        site.postgres.checkpoint().await?;
        let before = site.host.metrics().await?;
        let sample = run_http(site.host.address, &site.meter(), Work::Accounts, in_flight, effort.timing()).await?;
        results.budgets.insert(in_flight, budget(&before, &site.host.metrics().await?, &sample));
    }
    Ok(())
}

/// The parts in the order of a command's path. Those of the host are means over all commands, the warm-up's too.
fn budget(before: &Metrics, after: &Metrics, sample: &Sample) -> Budget {
    let mean = |name: &str, labels: &str| after.mean_since(before, name, labels);
    let micros = |name: &str, labels: &str| mean(name, labels).map(|seconds| seconds * 1e6);
    // Of all commands: not all of them have every stage.
    let commands = after.grown_since(before, "everfold_command_seconds_count");
    let stage = |stage: &str| {
        let sum = format!(r#"everfold_command_stage_seconds_sum{{stage="{stage}"}}"#);
        (commands > 0.0).then(|| after.grown_since(before, &sum) / commands * 1e6)
    };
    let request = micros("everfold_http_request_seconds", &format!(r#"route="{ROUTE}""#));
    let command = micros("everfold_command_seconds", "");
    let commit = micros("everfold_writer_commit_seconds", "");
    let less = |whole: Option<f64>, part: Option<f64>| Some(whole? - part?);
    let stages: f64 = ["queue", "fold", "decide", "append"].into_iter().filter_map(stage).sum();
    let each = |seconds: f64| Some(seconds / sample.done as f64 * 1e6);
    Budget(vec![
        ("the client waits (median)", Some(sample.p50_ms * 1e3)),
        ("the request's handler, whole", request),
        ("– of that, parse and answer", less(request, command)),
        ("– until its stream's turn", stage("queue")),
        ("– fold of a stream that isn't in memory", stage("fold")),
        ("– decide and apply, with what is checked around them", stage("decide")),
        ("– append: until the commit is confirmed, whole", stage("append")),
        ("– – of that, until the batch is sent", less(stage("append"), commit)),
        ("– – the statement with its flush", commit),
        ("commands of one statement (a number)", mean("everfold_writer_batch_appends", "")),
        ("– from thread to thread, there and back", less(command, Some(stages))),
        ("in the guest: decide", micros("everfold_guest_seconds", r#"call="decide""#)),
        ("in the guest: apply", micros("everfold_guest_seconds", r#"call="apply""#)),
        ("processor: host", each(sample.cpu.host)),
        ("processor: PostgreSQL", each(sample.cpu.postgres)),
        ("processor: load generator", each(sample.cpu.client)),
    ])
}

/// The route of commands, as the host names it.
const ROUTE: &str = "/v1/aggregates/{type}/{id}/commands/{command}";
