//! The test kit: what it lets pass, and that it fails where it should.

use std::collections::HashMap;

use everfold_sdk::prelude::*;
use everfold_sdk::testing::{given, given_nothing};

#[state]
struct Tally {
    total: i64,
    last: Option<String>,
}

#[derive(EventSet)]
enum Event {
    #[event(version = 2, upcast(1 = counted_v1))]
    Counted {
        n: i64,
    },
    Stamped {
        time: i64,
        actor: Option<String>,
        version: i64,
        id: String,
    },
}

fn counted_v1(old: Value) -> Value {
    json!({ "n": old["number"] })
}

#[derive(CommandSet)]
enum Command {
    Count { n: i64 },
    Stamp,
    Rest,
}

#[derive(Rejection)]
enum Error {
    #[reject("{n} is negative")]
    Negative { n: i64 },
}

impl Aggregate for Tally {
    const TYPE: &'static str = "tally";
    type Event = Event;
    type Command = Command;
    type Rejection = Error;

    fn apply(&mut self, event: Event) {
        match event {
            Event::Counted { n } => self.total += n,
            Event::Stamped { id, .. } => self.last = Some(id),
        }
    }

    fn decide(&self, command: Command, ctx: &Context) -> Result<Vec<Event>, Error> {
        match command {
            Command::Count { n } if n < 0 => Err(Error::Negative { n }),
            Command::Count { n } => Ok(vec![Event::Counted { n }, Event::Counted { n: 0 }]),
            Command::Stamp => {
                let (time, actor, version) = (ctx.time, ctx.actor.clone(), ctx.version);
                Ok(vec![Event::Stamped { time, actor, version, id: ctx.command_id.clone() }])
            }
            Command::Rest => Ok(vec![]),
        }
    }
}

#[test]
fn a_story_goes_on_after_each_assertion() {
    given::<Tally>([Event::Counted { n: 1 }])
        .when(Command::Count { n: 2 })
        .then([Event::Counted { n: 2 }, Event::Counted { n: 0 }])
        .then_state(|tally| assert_eq!(tally.total, 3))
        .when(Command::Count { n: -1 })
        .then_reject(Error::Negative { n: -1 })
        .when(Command::Count { n: -1 })
        .then_rejected("negative")
        .when(Command::Rest)
        .then_nothing();
}

#[test]
fn the_context_is_set_and_counts_versions() {
    let stamp = |version, id: &str| Event::Stamped {
        time: 5,
        actor: Some("ann".into()),
        version,
        id: format!("00000000-0000-7000-8000-00000000000{id}"),
    };
    given_nothing::<Tally>()
        .at(5)
        .by("ann")
        .when(Command::Stamp)
        .then([stamp(-1, "1")])
        .when(Command::Stamp)
        .then([stamp(0, "2")]);
}

#[test]
fn history_of_older_versions_is_taken() {
    given_nothing::<Tally>()
        .recorded("Counted", 1, json!({ "number": 4 }))
        .then_state(|tally| assert_eq!(tally.total, 4));
}

#[test]
#[should_panic(
    expected = "other events than expected\n  Counted {\"n\":2}\n- Counted {\"n\":1}\n+ Counted {\"n\":0}\n"
)]
fn other_events_are_shown_as_a_diff() {
    given_nothing::<Tally>().when(Command::Count { n: 2 }).then([Event::Counted { n: 2 }, Event::Counted { n: 1 }]);
}

#[test]
#[should_panic(expected = "expected events, but was rejected as `negative`: -1 is negative {\"n\":-1}")]
fn a_rejection_is_not_events() {
    given_nothing::<Tally>().when(Command::Count { n: -1 }).then([Event::Counted { n: -1 }]);
}

#[test]
#[should_panic(expected = "expected the rejection `negative`, but it was accepted and answered no events")]
fn no_events_are_not_a_rejection() {
    given_nothing::<Tally>().when(Command::Rest).then_rejected("negative");
}

#[test]
#[should_panic(expected = "was rejected as `negative`: -1 is negative")]
fn details_of_a_rejection_count() {
    given_nothing::<Tally>().when(Command::Count { n: -1 }).then_reject(Error::Negative { n: -2 });
}

#[test]
#[should_panic(expected = "no event `Counted` of schema version 3 is declared")]
fn unknown_history_fails() {
    let _ = given_nothing::<Tally>().recorded("Counted", 3, json!({}));
}

#[derive(EventSet)]
enum Put {
    Put { key: String, n: f64 },
}

#[derive(CommandSet)]
enum Nothing {}

/// The aggregates that hide a fault share all but their state.
macro_rules! faulty {
    ($state:ident, |$self:ident, $key:ident, $n:ident| $apply:expr) => {
        impl Aggregate for $state {
            const TYPE: &'static str = "faulty";
            type Event = Put;
            type Command = Nothing;
            type Rejection = std::convert::Infallible;

            fn apply(&mut $self, event: Put) {
                let Put::Put { key: $key, n: $n } = event;
                $apply;
            }

            fn decide(&self, command: Nothing, _: &Context) -> Result<Vec<Put>, Self::Rejection> {
                match command {}
            }
        }
    };
}

fn puts(n: impl IntoIterator<Item = u32>) -> impl Iterator<Item = Put> {
    n.into_iter().map(|n| Put::Put { key: n.to_string(), n: n.into() })
}

#[state]
struct Unordered {
    map: HashMap<String, f64>,
}
faulty!(Unordered, |self, key, n| self.map.insert(key, n));

#[test]
#[should_panic(expected = "or a HashMap used where a BTreeMap keeps its order")]
fn a_state_without_order_fails() {
    let _ = given::<Unordered>(puts(0..64));
}

#[state]
struct Forgetful {
    #[serde(skip)]
    count: u32,
    shown: u32,
}
faulty!(Forgetful, |self, _key, _n| {
    self.count += 1;
    self.shown = self.count;
});

#[test]
#[should_panic(expected = "after `Put` a restored state differs")]
fn a_state_that_forgets_fails() {
    let _ = given::<Forgetful>(puts(0..2));
}

#[state]
struct Unrestorable {
    n: f64,
}
faulty!(Unrestorable, |self, _key, n| self.n = n / 0.0);

#[test]
#[should_panic(expected = "the state can't be restored")]
fn a_state_that_cannot_be_read_back_fails() {
    let _ = given::<Unrestorable>(puts([1, 2]));
}

#[state]
struct Secretive {
    #[serde(skip)]
    secret: f64,
}

#[derive(EventSet)]
enum Fact {
    Ratio { r: f64 },
}

#[derive(CommandSet)]
enum Ask {
    ForSecret,
    ForNoNumber,
}

impl Aggregate for Secretive {
    const TYPE: &'static str = "secretive";
    type Event = Fact;
    type Command = Ask;
    type Rejection = std::convert::Infallible;

    fn apply(&mut self, Fact::Ratio { r }: Fact) {
        self.secret = r;
    }

    fn decide(&self, command: Ask, _: &Context) -> Result<Vec<Fact>, Self::Rejection> {
        match command {
            Ask::ForSecret => Ok(vec![Fact::Ratio { r: self.secret }]),
            Ask::ForNoNumber => Ok(vec![Fact::Ratio { r: f64::NAN }]),
        }
    }
}

#[test]
#[should_panic(expected = "`ForSecret` is decided otherwise on a restored state")]
fn a_decision_on_what_is_not_in_the_state_fails() {
    let _ = given::<Secretive>([Fact::Ratio { r: 0.5 }]).when(Ask::ForSecret);
}

#[test]
#[should_panic(expected = "an answered `Ratio` is lost in its own encoding")]
fn an_event_that_cannot_be_read_back_fails() {
    let _ = given_nothing::<Secretive>().when(Ask::ForNoNumber);
}
