//! Jobs that are created, started, and completed or failed, as an Everfold domain module.
//!
//! Who runs jobs asks for them over and over, and more often than once: each command here may be repeated without harm.

use everfold_sdk::prelude::*;

/// A job: something to be done by a worker, in one attempt or several.
#[state]
pub struct Job {
    pub status: Status,
    pub task: String,
    /// How often it was started.
    pub attempts: u32,
    pub max_attempts: u32,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// When the last attempt began, in milliseconds since 1970-01-01 UTC.
    pub started_at: Option<i64>,
    pub result: Option<Value>,
    /// Why the last attempt failed.
    pub failure: Option<String>,
}

#[data]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// There is no such job.
    #[default]
    Absent,
    Waiting,
    Running,
    Completed,
    /// The last attempt failed. The job may be started again, while it has attempts left.
    Failed,
}

#[derive(EventSet)]
pub enum Event {
    /// There is something to do.
    #[event(name = "JobCreated")]
    Created { task: String, max_attempts: u32 },
    /// A worker began an attempt.
    #[event(name = "JobStarted")]
    Started {
        worker: String,
        /// 1 is the first.
        attempt: u32,
        /// Milliseconds since 1970-01-01 UTC. `apply` has no clock: a time that decisions need is in the payload.
        started_at: i64,
    },
    /// The job is done.
    #[event(name = "JobCompleted")]
    Completed { result: Value, took_ms: i64 },
    /// An attempt failed.
    #[event(name = "JobFailed")]
    Failed { reason: String, attempt: u32 },
}

#[derive(CommandSet)]
pub enum Command {
    /// Creates the job.
    Create {
        #[schemars(length(min = 1, max = 200))]
        task: String,
        /// How often it may be started.
        #[serde(default = "three")]
        #[schemars(range(min = 1, max = 100))]
        max_attempts: u32,
    },
    /// Begins an attempt: the first, or another after a failed one.
    Start {
        #[schemars(length(min = 1, max = 100))]
        worker: String,
    },
    /// Ends the attempt, and with it the job.
    Complete {
        #[serde(default)]
        result: Value,
    },
    /// Ends the attempt without success.
    Fail {
        #[schemars(length(min = 1, max = 1000))]
        reason: String,
    },
}

fn three() -> u32 {
    3
}

#[derive(Rejection)]
pub enum Error {
    #[reject("there is no such job")]
    NotCreated,
    #[reject("the job was created for another task: {task}")]
    CreatedOtherwise { task: String },
    #[reject("{worker} is running the job")]
    RunningElsewhere { worker: String },
    #[reject("the job isn't running")]
    NotRunning,
    #[reject("the job is completed")]
    AlreadyCompleted,
    #[reject("all of its {max_attempts} attempts have failed")]
    OutOfAttempts { max_attempts: u32 },
}

impl Aggregate for Job {
    const TYPE: &'static str = "job";
    type Event = Event;
    type Command = Command;
    type Rejection = Error;

    fn apply(&mut self, event: Event) {
        match event {
            Event::Created { task, max_attempts } => {
                *self = Self { status: Status::Waiting, task, max_attempts, ..Self::default() };
            }
            Event::Started { worker, attempt, started_at } => {
                self.status = Status::Running;
                self.worker = Some(worker);
                self.attempts = attempt;
                self.started_at = Some(started_at);
            }
            Event::Completed { result, .. } => {
                self.status = Status::Completed;
                self.result = Some(result);
                self.failure = None;
            }
            Event::Failed { reason, .. } => {
                self.status = Status::Failed;
                self.failure = Some(reason);
            }
        }
    }

    fn decide(&self, command: Command, ctx: &Context) -> Result<Vec<Event>, Error> {
        match command {
            Command::Create { task, max_attempts } => self.create(task, max_attempts),
            _ if self.status == Status::Absent => Err(Error::NotCreated),
            Command::Start { worker } => self.start(worker, ctx),
            Command::Complete { result } => self.complete(result, ctx),
            Command::Fail { reason } => self.fail(reason),
        }
    }
}

/// One function for each command. No events and no rejection means that there is nothing left to do: what was asked for
/// is so already, mostly because the command was sent before.
impl Job {
    fn create(&self, task: String, max_attempts: u32) -> Result<Vec<Event>, Error> {
        match self.status {
            Status::Absent => Ok(vec![Event::Created { task, max_attempts }]),
            _ if self.task == task => Ok(vec![]),
            _ => Err(Error::CreatedOtherwise { task: self.task.clone() }),
        }
    }

    fn start(&self, worker: String, ctx: &Context) -> Result<Vec<Event>, Error> {
        match (self.status, &self.worker) {
            (Status::Completed, _) => Err(Error::AlreadyCompleted),
            (Status::Running, Some(other)) if *other == worker => Ok(vec![]),
            (Status::Running, Some(other)) => Err(Error::RunningElsewhere { worker: other.clone() }),
            _ if self.attempts >= self.max_attempts => Err(Error::OutOfAttempts { max_attempts: self.max_attempts }),
            _ => Ok(vec![Event::Started { worker, attempt: self.attempts + 1, started_at: ctx.time }]),
        }
    }

    fn complete(&self, result: Value, ctx: &Context) -> Result<Vec<Event>, Error> {
        match (self.status, self.started_at) {
            (Status::Running, Some(started_at)) => {
                Ok(vec![Event::Completed { result, took_ms: (ctx.time - started_at).max(0) }])
            }
            (Status::Completed, _) => Ok(vec![]),
            _ => Err(Error::NotRunning),
        }
    }

    fn fail(&self, reason: String) -> Result<Vec<Event>, Error> {
        match self.status {
            Status::Running => Ok(vec![Event::Failed { reason, attempt: self.attempts }]),
            Status::Failed => Ok(vec![]),
            Status::Completed => Err(Error::AlreadyCompleted),
            Status::Absent | Status::Waiting => Err(Error::NotRunning),
        }
    }
}

everfold_sdk::export!(Job);
