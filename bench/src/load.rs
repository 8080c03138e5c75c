//! The load loop that all share: a given number of clients, each with one request under way, each on streams of its own.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cpu::{Cpu, Meter};
use crate::sample::{Latencies, Sample};
use crate::work::{Act, Script, Step, Work, fresh_stream};

/// One client: it has at most one request under way.
pub(crate) trait Client: Send + 'static {
    /// Does a step, and waits until it is answered.
    ///
    /// # Errors
    /// Whatever ends the run: nobody is there, or what was said can't be read.
    fn send(&mut self, step: Step<'_>) -> impl Future<Output = Result<Answer>> + Send;
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was done.
    Done,
    /// The domain said no.
    Rejected,
    /// It wasn't done, for this reason: overload, a conflict. Such answers don't count as throughput.
    Refused(String),
}

impl Answer {
    /// Whether it is the one that the step asks for.
    fn is_due(&self, act: Act) -> bool {
        *self == if act == Act::Overdraw { Self::Rejected } else { Self::Done }
    }
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Before it: connections, caches and plans get warm.
    pub(crate) warm_up: Duration,
    /// The time that counts.
    pub(crate) measure: Duration,
}

impl Timing {
    /// The window, from now on.
    pub(crate) fn window(self) -> Window {
        let begin = Instant::now() + self.warm_up;
        Window { begin, end: begin + self.measure }
    }
}

/// The time in which steps count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Steps that are sent before it don't count.
    pub(crate) begin: Instant,
    /// Nor do steps that are answered after it.
    pub(crate) end: Instant,
}

impl Window {
    /// Its length in seconds.
    fn seconds(&self) -> f64 {
        (self.end - self.begin).as_secs_f64()
    }
}

/// What one client, or one connection of many, saw within the window.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    latencies: Latencies,
    acknowledged: u64,
    refused: u64,
    why: Option<String>,
}

impl Tally {
    /// Notes an answer. Only what was both sent and answered within the window counts.
    pub(crate) fn note(&mut self, window: &Window, act: Act, sent: Instant, answer: Answer) {
        let now = Instant::now();
        self.acknowledged += u64::from(answer.is_due(act));
        if sent < window.begin || now > window.end {
            return;
        }
        if answer.is_due(act) {
            self.latencies.push(now - sent);
        } else {
            self.refused += 1;
            self.why.get_or_insert_with(|| format!("{act:?}: {answer:?}"));
        }
    }

    fn add(&mut self, other: Self) {
        self.latencies.add(other.latencies);
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.why = self.why.take().or(other.why);
    }
}

/// Lets clients work at the same time, and measures them.
pub(crate) async fn drive<C: Client>(mut clients: Vec<C>, work: Work, timing: Timing, meter: &Meter) -> Result<Sample> {
    let shared = fresh_stream();
    if let (Work::OneStream, Some(first)) = (work, clients.first_mut()) {
        let opened = first.send(Step { stream: &shared, act: Act::Open, key: None }).await?;
        ensure!(opened == Answer::Done, "the one stream can't be opened: {opened:?}");
    }
    let window = timing.window();
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(act(client, Script::new(work, &shared), window));
    }
    gather(tasks, window, meter).await
}

/// Waits for what the tasks saw.
pub(crate) async fn gather(mut tasks: JoinSet<Result<Tally>>, window: Window, meter: &Meter) -> Result<Sample> {
    let used = async {
        tokio::time::sleep_until(window.begin).await;
        let before = meter.read();
        tokio::time::sleep_until(window.end).await;
        Cpu::between(before, meter.read())
    };
    let seen = async {
        let mut all = Tally::default();
        while let Some(tally) = tasks.join_next().await {
            all.add(tally??);
        }
        anyhow::Ok(all)
    };
    let (cpu, tally) = tokio::join!(used, seen);
    let Tally { latencies, acknowledged, refused, why } = tally?;
    ensure!(!latencies.is_empty(), "nothing was carried out: {}", why.as_deref().unwrap_or("there was no answer"));
    Ok(Sample { acknowledged, refused, why, ..Sample::new(&latencies, window.seconds(), cpu)? })
}

async fn act<C: Client>(mut client: C, mut script: Script, window: Window) -> Result<Tally> {
    let mut tally = Tally::default();
    loop {
        let sent = Instant::now();
        if sent >= window.end {
            return Ok(tally);
        }
        let step = script.next();
        let answer = client.send(step).await?;
        tally.note(&window, step.act, sent, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers everything after a while, and every third step with a refusal.
    struct Slow {
        sent: u64,
    }

    impl Client for Slow {
        async fn send(&mut self, _: Step<'_>) -> Result<Answer> {
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.sent += 1;
            Ok(if self.sent.is_multiple_of(3) { Answer::Refused("busy".into()) } else { Answer::Done })
        }
    }

    const TIMING: Timing = Timing { warm_up: Duration::from_millis(100), measure: Duration::from_millis(1200) };

    #[tokio::test(start_paused = true)]
    async fn only_the_window_counts_and_only_what_was_due() {
        let clients = vec![Slow { sent: 0 }, Slow { sent: 0 }];
        let sample = drive(clients, Work::Accounts, TIMING, &Meter::nobody()).await.unwrap();
        // Two clients, 120 steps each in 1.2 s at the most, for timers round up; two of three are done.
        let steps = sample.done + sample.refused;
        assert!((200..=240).contains(&steps), "{sample:?}");
        assert!((steps * 2 / 3).abs_diff(sample.done) <= 2, "{sample:?}");
        assert!(sample.acknowledged > sample.done, "what was answered before the window counts as acknowledged");
        assert!(sample.why.unwrap().contains("busy"));
        assert!((9.9..12.0).contains(&sample.p50_ms), "{}", sample.p50_ms);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_in_which_nothing_is_done_fails() {
        let clients = vec![Slow { sent: 0 }];
        // All that is answered is a rejection that the script doesn't ask for, or done where one is due.
        struct No;
        impl Client for No {
            async fn send(&mut self, _: Step<'_>) -> Result<Answer> {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok(Answer::Rejected)
            }
        }
        assert!(drive(vec![No], Work::Accounts, TIMING, &Meter::nobody()).await.is_err());
        assert!(drive(clients, Work::Accounts, TIMING, &Meter::nobody()).await.is_ok());
    }
}
