//! A module that imports WASI and records all that it sees of it, in its events and in its state: on a host that keeps
//! its word, the same in every call, in every instance, on every host.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use bindings::everfold::domain::types::{
    AggregateDescriptor, Command, CommandDescriptor, Context, DecideError, Descriptor, Event, EventDescriptor,
    EventError, LoadError, NewEvent,
};
use bindings::exports::everfold::domain::aggregates::{Aggregate, Guest, GuestAggregate};
use bindings::wasi::cli::{environment, exit, stderr, stdin, stdout, terminal_stdout};
use bindings::wasi::clocks0_2_0::monotonic_clock;
use bindings::wasi::clocks0_2_3::wall_clock;
use bindings::wasi::filesystem::preopens;
use bindings::wasi::io::poll;
use bindings::wasi::random::{insecure, insecure_seed, random};
use bindings::wasi::sockets::instance_network;

mod bindings {
    wit_bindgen::generate!({
        world: "everfold:wasi-probe/wasi-probe",
        path: ["../../../../wit/v0.1.0", "wit"],
        generate_all,
    });
}

const TYPE: &str = "probe";

/// `Look` and `Print` are fine in a virtual WASI; the others want what there isn't.
const COMMANDS: [&str; 8] = ["Look", "Print", "Sleep", "Poll", "Spin", "Connect", "Exit", "Gamble"];

struct Probe {
    events: Cell<u64>,
    seen: RefCell<String>,
}

struct Module;

impl Guest for Module {
    type Aggregate = Probe;

    fn describe() -> Descriptor {
        Descriptor {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            aggregates: vec![AggregateDescriptor {
                aggregate_type: TYPE.into(),
                description: None,
                state_version: 1,
                state_schema: None,
                snapshot_interval: None,
                commands: COMMANDS
                    .map(|name| CommandDescriptor { name: name.into(), description: None, schema: None })
                    .into(),
                events: vec![EventDescriptor {
                    event_type: "Seen".into(),
                    schema_version: 1,
                    description: None,
                    schema: None,
                }],
                upcasts: vec![],
                rejections: vec![],
            }],
        }
    }

    fn upcast(_aggregate_type: String, events: Vec<Event>) -> Result<Vec<Vec<Event>>, EventError> {
        Ok(events.into_iter().map(|event| vec![event]).collect())
    }
}

impl GuestAggregate for Probe {
    fn create(_aggregate_type: String) -> Result<Aggregate, LoadError> {
        Ok(Aggregate::new(Probe { events: Cell::new(0), seen: RefCell::new(look()) }))
    }

    fn restore(_aggregate_type: String, _state_version: u32, state: Vec<u8>) -> Result<Aggregate, LoadError> {
        // `{"events":N,…`
        let text = String::from_utf8(state).map_err(|_| LoadError::InvalidState("no text".into()))?;
        let digits = text.trim_start_matches("{\"events\":").split(',').next().and_then(|n| n.parse().ok());
        let events = digits.ok_or_else(|| LoadError::InvalidState("no number".into()))?;
        Ok(Aggregate::new(Probe { events: Cell::new(events), seen: RefCell::new(look()) }))
    }

    fn apply(&self, events: Vec<Event>) -> Result<(), EventError> {
        self.events.set(self.events.get() + events.len() as u64);
        *self.seen.borrow_mut() = look();
        Ok(())
    }

    fn decide(&self, command: Command, _context: Context) -> Result<Vec<NewEvent>, DecideError> {
        match command.name.as_str() {
            "Look" => {}
            "Print" => print(),
            "Sleep" => monotonic_clock::subscribe_duration(3_600_000_000_000).block(),
            "Poll" => drop(poll::poll(&[&monotonic_clock::subscribe_instant(u64::MAX)])),
            "Spin" => {
                let start = monotonic_clock::now();
                while monotonic_clock::now() == start {}
            }
            "Connect" => drop(instance_network::instance_network()),
            "Exit" => exit::exit(Ok(())),
            "Gamble" => drop(random::get_random_bytes(1 << 40)),
            _ => return Err(DecideError::UnknownCommand),
        }
        Ok(vec![NewEvent { event_type: "Seen".into(), schema_version: 1, payload: look().into_bytes() }])
    }

    fn state(&self) -> Vec<u8> {
        let (events, seen) = (self.events.get(), self.seen.borrow());
        format!(r#"{{"events":{events},"applied":{seen},"told":{}}}"#, look()).into_bytes()
    }
}

/// All there is to see, as JSON.
fn look() -> String {
    let wall = wall_clock::now();
    let numbers = (random::get_random_u64(), random::get_random_u64(), insecure::get_insecure_random_u64());
    let bytes = [random::get_random_bytes(40), insecure::get_insecure_random_bytes(3)].concat();
    let input = stdin::get_stdin().blocking_read(10).map_err(|_| "closed");
    let timers = [0, 1].map(|time| monotonic_clock::subscribe_duration(time).ready());
    format!(
        r#"{{"wall":[{},{}],"monotonic":{},"numbers":"{numbers:?}","bytes":"{bytes:?}","seed":"{:?}","order":"{:?}",
            "environment":{},"arguments":{},"cwd":{},"directories":{},"terminal":{},"input":{:?},"timers":{timers:?}}}"#,
        wall.seconds,
        wall.nanoseconds,
        monotonic_clock::now(),
        insecure_seed::insecure_seed(),
        order(),
        environment::get_environment().len(),
        environment::get_arguments().len(),
        environment::initial_cwd().is_some(),
        preopens::get_directories().len(),
        terminal_stdout::get_terminal_stdout().is_some(),
        input.err().unwrap_or("open"),
    )
}

/// The order of a table that is seeded as runtimes with WASI seed theirs.
fn order() -> Vec<u32> {
    let (seed, _) = insecure_seed::insecure_seed();
    let table: HashMap<u32, (), Seeded> = {
        let mut table = HashMap::with_hasher(Seeded(seed));
        table.extend((0..20).map(|key| (key, ())));
        table
    };
    table.into_keys().collect()
}

#[derive(Clone)]
struct Seeded(u64);

impl BuildHasher for Seeded {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        self.clone()
    }
}

impl Hasher for Seeded {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn print() {
    for stream in [stdout::get_stdout(), stderr::get_stderr()] {
        poll::poll(&[&stream.subscribe()]);
        stream.check_write().unwrap();
        stream.write(b"printed\n").unwrap();
        stream.blocking_write_and_flush(b"in two pieces\n").unwrap();
    }
}

bindings::export!(Module with_types_in bindings);
