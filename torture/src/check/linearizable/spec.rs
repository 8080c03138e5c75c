//! What a stream is when it is asked one thing after the other, and the search for an order of what was asked at once.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Instant;

use stateright::semantics::SequentialSpec;

use super::steps::{Step, Told};
use crate::history::{Call, Expected, VaultState};
use crate::vault::{Moved, overdrawn};

/// An operation as it is put to the specification.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) id: u64,
    pub(super) token: &'a str,
    pub(super) call: &'a Call,
    pub(super) expected: Expected,
}

/// A stream of the aggregate type `vault`, somewhere in a search.
#[derive(Clone)]
pub(super) struct Vault<'a> {
    state: VaultState,
    /// How many steps were taken.
    depth: usize,
    /// Whether a step was taken from here: shared by the copies with which the tester tries one step after the other.
    is_left: Rc<Cell<bool>>,
    search: &'a Search,
}

impl<'a> Vault<'a> {
    /// The stream before a piece of its history.
    pub(super) fn new(state: VaultState, search: &'a Search) -> Self {
        Self { state, depth: 0, is_left: Rc::default(), search }
    }

    /// The state.
    pub(super) fn into_state(self) -> VaultState {
        self.state
    }

    fn version(&self) -> i64 {
        self.state.entries as i64 - 1
    }

    fn move_all(&mut self, token: &str, amounts: &[i64]) -> Told {
        for amount in amounts {
            self.state.apply(&Moved { token, amount: *amount });
        }
        Told::Executed { version: self.version() }
    }

    fn is_as_expected(&self, expected: Expected) -> bool {
        match expected {
            Expected::Any => true,
            Expected::NoStream => self.state.entries == 0,
            Expected::Exists => self.state.entries > 0,
            Expected::Exact(version) => self.version() == version,
        }
    }
}

impl<'a> SequentialSpec for Vault<'a> {
    type Op = Asked<'a>;
    type Ret = Told;

    /// The caller's demand comes before the domain's decision: a rejection goes to the log as well, where the expected
    /// version is checked before it counts.
    fn invoke(&mut self, asked: &Asked<'a>) -> Told {
        if !self.is_as_expected(asked.expected) {
            return Told::Conflict { actual: self.version() };
        }
        let VaultState { balance, digest, .. } = self.state;
        match asked.call {
            Call::Move { amounts } if overdrawn(balance, amounts) => Told::Rejected { balance },
            Call::Move { amounts } | Call::Append { amounts } => self.move_all(asked.token, amounts),
            Call::Touch | Call::Trap => Told::Executed { version: self.version() },
            Call::Read { .. } if self.state.entries == 0 => Told::Absent,
            Call::Read { .. } => Told::State { version: self.version(), balance, digest },
        }
    }

    /// False also where another step was taken from here before, and the search has come back: with the lanes in their
    /// order the first step that fits can be taken without loss, so that what ended there ends everywhere.
    fn is_valid_step(&mut self, asked: &Asked<'a>, told: &Told) -> bool {
        if self.is_left.get() || self.search.is_over() {
            return false;
        }
        let (version, balance) = (self.version(), self.state.balance);
        if self.invoke(asked) != *told {
            self.search.refuse(Dead { depth: self.depth, version, balance, refused: Vec::new() }, asked.id);
            return false;
        }
        self.depth += 1;
        self.is_left.set(true);
        self.is_left = Rc::default();
        true
    }
}

/// What the search through one piece has learnt.
pub(super) struct Search {
    deadline: Instant,
    is_over: Cell<bool>,
    deepest: RefCell<Dead>,
}

/// Where most steps had been taken, and which didn't fit there.
#[derive(Default)]
struct Dead {
    depth: usize,
    version: i64,
    balance: i64,
    refused: Vec<u64>,
}

impl Search {
    pub(super) fn new(deadline: Instant) -> Self {
        Self { deadline, is_over: Cell::new(false), deepest: RefCell::default() }
    }

    /// Whether the time is up.
    pub(super) fn is_over(&self) -> bool {
        if !self.is_over.get() {
            self.is_over.set(Instant::now() >= self.deadline);
        }
        self.is_over.get()
    }

    fn refuse(&self, at: Dead, id: u64) {
        let mut deepest = self.deepest.borrow_mut();
        if deepest.depth < at.depth || deepest.refused.is_empty() {
            *deepest = at;
        } else if at.depth < deepest.depth {
            return;
        }
        deepest.refused.push(id);
    }

    /// How far the search came, and what didn't fit there.
    pub(super) fn tell(&self, piece: &[Step<'_>]) -> String {
        let Dead { depth, version, balance, refused } = &*self.deepest.borrow();
        let mut told = format!(
            "after {depth} of {} operations at once, at version {version} with a balance of {balance}, none of these fits:",
            piece.len(),
        );
        for step in piece.iter().filter(|step| refused.contains(&step.operation.id)) {
            let (operation, Step { told: answer, from, to, .. }) = (step.operation, step);
            let (token, call, expected) = (operation.token(), &operation.call, operation.expected);
            let _ = write!(told, " {token} ({call:?} if {expected:?}, from {from} to {to} ns, answered {answer:?});");
        }
        told.pop();
        told
    }
}
