//! Streams and polling of a virtual WASI: input is at its end, output goes to the log, and nothing ever has to be
//! waited for, because nothing would ever come.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::{Link, NotVirtual};
use crate::runtime::guest::{Guest, Output};

/// How much may be written at once, in bytes: as other hosts allow.
const WRITE_BYTES: u64 = 64 << 10;

/// `wasi:io/error.error`, of which none is ever made.
pub(super) struct IoError;
/// `wasi:io/streams.input-stream`.
pub(super) struct InputStream;
/// `wasi:io/streams.output-stream`: the handle's number says which.
pub(super) struct OutputStream;
/// `wasi:io/poll.pollable`: the handle's number says whether it's ready; what isn't now never will be.
pub(super) struct Pollable;

const READY: u32 = 1;
const NEVER: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type Streamed<T> = Result<T, StreamError>;
type OfStream = (Resource<OutputStream>,);
type Store<'a> = StoreContextMut<'a, Guest>;

/// A handle on something that is ready, or never will be.
pub(super) fn pollable(ready: bool) -> Resource<Pollable> {
    Resource::new_own(if ready { READY } else { NEVER })
}

impl Link<'_> {
    /// Links a function of the standard streams, `wasi:io/streams` or `wasi:io/poll`.
    pub(super) fn io(&mut self, name: &str) -> wasmtime::Result<()> {
        match name {
            "get-stdin" => self.answer(name, |()| (Resource::<InputStream>::new_own(0),)),
            "get-stdout" => self.answer(name, |()| (Resource::<OutputStream>::new_own(STDOUT),)),
            "get-stderr" => self.answer(name, |()| (Resource::<OutputStream>::new_own(STDERR),)),
            "[method]pollable.ready" => {
                self.answer(name, |(pollable,): (Resource<Pollable>,)| (pollable.rep() == READY,))
            }
            "[method]pollable.block" => self.to.func_wrap(name, block),
            "poll" => self.to.func_wrap(name, poll),
            _ if name.starts_with("[method]input-stream.") => self.input(name),
            _ if name.starts_with("[method]output-stream.") => self.output(name),
            _ => self.trap(name),
        }
    }

    fn input(&mut self, name: &str) -> wasmtime::Result<()> {
        type Of = (Resource<InputStream>, u64);
        match name {
            "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
                self.answer(name, |_: Of| (Streamed::<Vec<u8>>::Err(StreamError::Closed),))
            }
            "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
                self.answer(name, |_: Of| (Streamed::<u64>::Err(StreamError::Closed),))
            }
            "[method]input-stream.subscribe" => self.answer(name, |_: (Resource<InputStream>,)| (pollable(true),)),
            _ => self.trap(name),
        }
    }

    fn output(&mut self, name: &str) -> wasmtime::Result<()> {
        match name {
            "[method]output-stream.check-write" => self.answer(name, |_: OfStream| (Streamed::Ok(WRITE_BYTES),)),
            "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
                self.to.func_wrap(name, write)
            }
            "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
                self.answer(name, |_: OfStream| (Streamed::Ok(()),))
            }
            "[method]output-stream.subscribe" => self.answer(name, |_: OfStream| (pollable(true),)),
            _ => self.trap(name),
        }
    }
}

fn write(
    mut store: Store<'_>,
    (stream, bytes): (Resource<OutputStream>, Vec<u8>),
) -> wasmtime::Result<(Streamed<()>,)> {
    let output = if stream.rep() == STDERR { Output::Error } else { Output::Standard };
    store.data_mut().log.print(output, &bytes);
    Ok((Ok(()),))
}

fn block(_: Store<'_>, (pollable,): (Resource<Pollable>,)) -> wasmtime::Result<()> {
    if pollable.rep() == READY { Ok(()) } else { Err(NotVirtual::Waits.into()) }
}

fn poll(_: Store<'_>, (pollables,): (Vec<Resource<Pollable>>,)) -> wasmtime::Result<(Vec<u32>,)> {
    let ready = (0..).zip(&pollables).filter(|(_, pollable)| pollable.rep() == READY).map(|(place, _)| place);
    let ready: Vec<u32> = ready.collect();
    if ready.is_empty() { Err(NotVirtual::Waits.into()) } else { Ok((ready,)) }
}
