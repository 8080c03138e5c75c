//! Everfold's bulk endpoint: commands as lines of long requests, with a fixed number of unanswered lines.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::http::contains;
use crate::load::{Answer, Tally, Timing, Window, gather};
use crate::sample::Sample;
use crate::site::Site;
use crate::work::{Act, Script, Step, Work};

/// Lines of one request that the host carries out at a time: beyond it another connection is worth while.
const OF_ONE_REQUEST: usize = 256;

pub(super) async fn run(site: &Site, work: Work, in_flight: usize, timing: Timing) -> Result<Sample> {
    let connections = in_flight.div_ceil(OF_ONE_REQUEST);
    let mut opened = Vec::with_capacity(connections);
    for nth in 0..connections {
        let lines = in_flight / connections + usize::from(nth < in_flight % connections);
        opened.push((open(site.host.address).await?, lines));
    }
    let window = timing.window();
    let mut tasks = JoinSet::new();
    for ((sender, answers), lines) in opened {
        let scripts = (0..lines).map(|_| Script::new(work, "")).collect();
        tasks.spawn(Box::pin(Connection::new(scripts, window, sender).work(answers)));
    }
    gather(tasks, window, &site.meter()).await
}

/// Where lines are put. There are never more of them than may be unanswered.
type Sender = mpsc::UnboundedSender<Bytes>;

/// Begins a request whose body is still being written, whose answer is already being read.
async fn open(address: SocketAddr) -> Result<(Sender, Incoming)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the request; what went wrong is what reading the answer says.
    tokio::spawn(connection);
    let (sender, lines) = mpsc::unbounded_channel();
    let lines = stream::unfold(lines, |mut lines: mpsc::UnboundedReceiver<Bytes>| async {
        let piece = lines.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), lines))
    });
    let request = Request::post("/v1/commands").header("host", "bench").header("content-type", "application/x-ndjson");
    let answer = client.send_request(request.body(StreamBody::new(lines))?).await?;
    ensure!(answer.status() == StatusCode::OK, "the host refuses lines: {}", answer.status());
    Ok((sender, answer.into_body()))
}

/// One request under way.
struct Connection {
    /// As many as lines may be unanswered: whose line is answered writes the next one.
    scripts: Vec<Script>,
    /// The lines that aren't answered yet, in their order.
    unanswered: VecDeque<Unanswered>,
    window: Window,
    sender: Sender,
    tally: Tally,
}

struct Unanswered {
    script: usize,
    act: Act,
    sent: Instant,
}

impl Connection {
    fn new(scripts: Vec<Script>, window: Window, sender: Sender) -> Self {
        Self { scripts, unanswered: VecDeque::new(), window, sender, tally: Tally::default() }
    }

    async fn work(mut self, mut answers: Incoming) -> Result<Tally> {
        let mut lines = String::new();
        (0..self.scripts.len()).for_each(|script| self.write(script, &mut lines));
        self.pass_on(&mut lines)?;
        let mut read = Vec::new();
        while !self.unanswered.is_empty() {
            let frame = answers.frame().await.context("the host ended the answer")??;
            let Ok(data) = frame.into_data() else { continue };
            read.extend_from_slice(&data);
            let mut begin = 0;
            while let Some(length) = read[begin..].iter().position(|byte| *byte == b'\n') {
                self.take(&read[begin..begin + length], &mut lines)?;
                begin += length + 1;
            }
            read.drain(..begin);
            self.pass_on(&mut lines)?;
        }
        Ok(self.tally)
    }

    /// Notes the answer to the oldest line; its script writes the next.
    fn take(&mut self, line: &[u8], lines: &mut String) -> Result<()> {
        let Unanswered { script, act, sent } =
            self.unanswered.pop_front().with_context(|| format!("nobody asked: {}", String::from_utf8_lossy(line)))?;
        self.tally.note(&self.window, act, sent, answer(line));
        if Instant::now() < self.window.end {
            self.write(script, lines);
        }
        Ok(())
    }

    fn write(&mut self, script: usize, lines: &mut String) {
        let step = self.scripts[script].next();
        write_line(lines, &step);
        let act = step.act;
        self.unanswered.push_back(Unanswered { script, act, sent: Instant::now() });
    }

    /// Sends what was written since the last time, as one piece.
    fn pass_on(&self, lines: &mut String) -> Result<()> {
        if !lines.is_empty() {
            let piece = Bytes::from(std::mem::take(lines));
            self.sender.send(piece).context("the host no longer reads")?;
        }
        Ok(())
    }
}

fn write_line(lines: &mut String, step: &Step<'_>) {
    let (command, payload) = step.act.command().unwrap_or_default();
    let stream = step.stream;
    // A String takes everything.
    let _ = write!(
        lines,
        r#"{{"aggregate_type":"account","stream_id":"{stream}","command":"{command}","payload":{payload}"#
    );
    if let Some(key) = step.key {
        let _ = write!(lines, r#","idempotency_key":"{key}""#);
    }
    lines.push_str("}\n");
}

/// What a line says, by its beginning: `{"line":N,"status":N,…`.
fn answer(line: &[u8]) -> Answer {
    let beginning = &line[..line.len().min(48)];
    if contains(beginning, br#""status":200"#) {
        Answer::Done
    } else if contains(beginning, br#""status":422"#) && contains(line, br#""code":"rejected""#) {
        Answer::Rejected
    } else {
        Answer::Refused(String::from_utf8_lossy(line).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json() {
        let mut lines = String::new();
        let mut script = Script::new(Work::Keyed, "");
        write_line(&mut lines, &script.next());
        write_line(&mut lines, &script.next());
        let read: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&read[0]["command"], &read[1]["payload"]["amount"]), (&"Open".into(), &1.into()));
        assert_eq!(read[0]["stream_id"], read[1]["stream_id"]);
        assert!(read[0]["idempotency_key"].is_string());
    }

    #[test]
    fn a_line_is_answered_by_its_status() {
        assert_eq!(answer(br#"{"line":1234567890,"status":200,"result":{}}"#), Answer::Done);
        let rejected = br#"{"line":1,"status":422,"problem":{"code":"rejected"}}"#;
        assert_eq!(answer(rejected), Answer::Rejected);
        assert!(matches!(answer(br#"{"end":"input","through_line":2}"#), Answer::Refused(_)));
    }
}
