//! Reads and writes of `wasi:io/streams@0.2` that have nothing to wait for.
//!
//! Most bodies are short: what a guest reads is there, and there is room for what it writes. In
//! wasmtime-wasi such a call makes half a dozen boxed futures all the same, one within the other, and queues
//! at a semaphore twice. Here everything is done at once that needs no waiting, and only what is left is
//! wasmtime-wasi's. What a guest sees is the same.

use std::future::ready;

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::io::streams::{self as wasi, Host as _, HostInputStream as _};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError, StreamResult};

use super::state::State;

/// As wasmtime-wasi calls it.
const STREAMS: &str = "wasi:io/streams@0.2.12";
const READ: &str = "[method]input-stream.blocking-read";
const WRITE: &str = "[method]output-stream.blocking-write-and-flush";

/// The most bytes of a `blocking-write-and-flush`, which its definition says.
const MOST: usize = 4096;

/// Puts them in the place of wasmtime-wasi's, which are there already.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let added = add(linker);
    linker.allow_shadowing(false);
    added
}

fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Read = (Resource<DynInputStream>, u64);
    type Write = (Resource<DynOutputStream>, Vec<u8>);

    let mut streams = linker.instance(STREAMS)?;
    streams.func_wrap_async(
        READ,
        |mut store: StoreContextMut<'_, State>, (stream, length): Read| {
            let table = &mut store.data_mut().table;
            if let Some(read) = read_now(table, &stream, length) {
                return Box::new(ready(told(table, read)));
            }
            Box::new(async move {
                let table = &mut store.data_mut().table;
                let read = table.blocking_read(stream, length).await;
                told(table, read)
            })
        },
    )?;
    streams.func_wrap_async(
        WRITE,
        |mut store: StoreContextMut<'_, State>, (stream, bytes): Write| {
            let table = &mut store.data_mut().table;
            let left = match write_now(table, &stream, bytes.into()) {
                Ok(Some(left)) => left,
                Ok(None) => return Box::new(ready(told(table, Ok(())))),
                Err(error) => return Box::new(ready(told(table, Err(error)))),
            };
            Box::new(async move {
                let table = &mut store.data_mut().table;
                let written = write_later(table, &stream, left).await;
                told(table, written)
            })
        },
    )
}

/// What a guest hears of it, or the trap that ends it.
fn told<T>(
    table: &mut ResourceTable,
    result: StreamResult<T>,
) -> wasmtime::Result<(Result<T, wasi::StreamError>,)> {
    match result {
        Ok(done) => Ok((Ok(done),)),
        Err(error) => Ok((Err(table.convert_stream_error(error)?),)),
    }
}

/// What is there; `None` if that is nothing, and one has to wait.
fn read_now(
    table: &mut ResourceTable,
    stream: &Resource<DynInputStream>,
    length: u64,
) -> Option<StreamResult<Vec<u8>>> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let stream = match table.get_mut(stream) {
        Ok(stream) => stream,
        Err(error) => return Some(Err(error.into())),
    };
    match stream.read(length) {
        Ok(bytes) if bytes.is_empty() => None,
        Ok(bytes) => Some(Ok(bytes.into())),
        Err(error) => Some(Err(error)),
    }
}

/// What is left of a write that has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Left {
    /// To wait until it is flushed.
    Flush,
    /// To write these, and flush.
    Bytes(Bytes),
}

/// Writes what there is room for. `None` if that is all.
fn write_now(
    table: &mut ResourceTable,
    stream: &Resource<DynOutputStream>,
    mut bytes: Bytes,
) -> StreamResult<Option<Left>> {
    if bytes.len() > MOST {
        return Err(StreamError::trap(
            "Buffer too large for blocking-write-and-flush (expected at most 4096)",
        ));
    }
    let stream = table.get_mut(stream)?;
    loop {
        let room = stream.check_write()?;
        if room == 0 {
            return Ok(Some(Left::Bytes(bytes)));
        }
        let rest = bytes.split_off(bytes.len().min(room));
        stream.write(bytes)?;
        if rest.is_empty() {
            break;
        }
        bytes = rest;
    }
    // who has closed the stream after that has closed it for what comes next
    match stream.flush() {
        Ok(()) | Err(StreamError::Closed) => {}
        Err(error) => return Err(error),
    }
    match stream.check_write() {
        Ok(0) => Ok(Some(Left::Flush)),
        Ok(_) | Err(StreamError::Closed) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn write_later(
    table: &mut ResourceTable,
    stream: &Resource<DynOutputStream>,
    left: Left,
) -> StreamResult<()> {
    let stream = table.get_mut(stream)?;
    match left {
        Left::Bytes(bytes) => stream.blocking_write_and_flush(bytes).await,
        Left::Flush => match stream.write_ready().await {
            Ok(_) | Err(StreamError::Closed) => Ok(()),
            Err(error) => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::collections::VecDeque;
    use std::sync::Arc;
    use wasmtime::Engine;
    use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable};

    /// Were the name another, nothing would be replaced, and nobody would notice.
    #[test]
    fn what_is_replaced_is_there() {
        let mut linker = Linker::new(&Engine::default());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        for name in [READ, WRITE] {
            let mut streams = linker.instance(STREAMS).unwrap();
            let twice = streams.func_wrap(name, |_, (): ()| Ok(())).unwrap_err();
            assert!(twice.to_string().contains("defined twice"), "{twice}");
        }
        add_to_linker(&mut linker).unwrap();
    }

    /// How much room there is, each time that it is asked for.
    type Room = Vec<StreamResult<usize>>;

    /// A stream with a script. It has room for all when that is over and it has been waited for.
    struct Script {
        room: VecDeque<StreamResult<usize>>,
        waits: bool,
        written: Arc<Mutex<Vec<u8>>>,
    }

    #[async_trait::async_trait]
    impl Pollable for Script {
        async fn ready(&mut self) {
            self.waits = false;
        }
    }

    #[async_trait::async_trait]
    impl OutputStream for Script {
        fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
            self.written.lock().extend_from_slice(&bytes);
            Ok(())
        }

        fn flush(&mut self) -> StreamResult<()> {
            Ok(())
        }

        fn check_write(&mut self) -> StreamResult<usize> {
            let all = if self.waits { 0 } else { MOST };
            self.room.pop_front().unwrap_or(Ok(all))
        }
    }

    /// What is left of writing `abcdef` at first, how that ends, and what was written.
    async fn write(room: Room) -> (Option<Left>, StreamResult<()>, Vec<u8>) {
        let (mut table, written) = (ResourceTable::new(), Arc::default());
        let stream: DynOutputStream = Box::new(Script {
            room: room.into(),
            waits: true,
            written: Arc::clone(&written),
        });
        let stream = table.push(stream).unwrap();
        let bytes = Bytes::from_static(b"abcdef");
        let (at_first, end) = match write_now(&mut table, &stream, bytes) {
            Ok(Some(left)) => {
                let later = write_later(&mut table, &stream, left.clone());
                (Some(left), later.await)
            }
            Ok(None) => (None, Ok(())),
            Err(error) => (None, Err(error)),
        };
        let written = written.lock().clone();
        (at_first, end, written)
    }

    #[tokio::test]
    async fn what_there_is_room_for_is_written_at_once_and_the_rest_later() {
        let bytes = |bytes: &'static str| Some(Left::Bytes(bytes.into()));
        let cases: [(Room, Option<Left>); 5] = [
            (vec![Ok(10), Ok(10)], None),
            (vec![Ok(4), Ok(4), Ok(1)], None),
            (vec![Ok(10), Ok(0)], Some(Left::Flush)),
            (vec![Ok(4), Ok(0)], bytes("ef")),
            (vec![], bytes("abcdef")),
        ];
        for (room, left) in cases {
            let case = format!("{room:?}");
            let (at_first, end, written) = write(room).await;
            assert_eq!(at_first, left, "{case}");
            assert!(end.is_ok(), "{case}: {end:?}");
            assert_eq!(written, b"abcdef", "{case}");
        }
    }

    #[tokio::test]
    async fn a_stream_that_closes_takes_what_was_written_and_no_more() {
        let (_, end, written) = write(vec![Ok(10), Err(StreamError::Closed)]).await;
        assert!(end.is_ok(), "{end:?}");
        assert_eq!(written, b"abcdef");
        let (_, end, written) = write(vec![Ok(2), Err(StreamError::Closed)]).await;
        assert!(matches!(end, Err(StreamError::Closed)), "{end:?}");
        assert_eq!(written, b"ab");
    }

    #[test]
    fn more_than_a_write_may_have_is_a_trap() {
        let mut table = ResourceTable::new();
        let stream: DynOutputStream = Box::new(Script {
            room: VecDeque::new(),
            waits: false,
            written: Arc::default(),
        });
        let stream = table.push(stream).unwrap();
        let mut write = |length: usize| write_now(&mut table, &stream, vec![0; length].into());
        assert!(matches!(write(MOST), Ok(None)));
        assert!(matches!(write(MOST + 1), Err(StreamError::Trap(_))));
    }

    /// What is there, piece by piece.
    struct Pieces(VecDeque<StreamResult<Bytes>>);

    #[async_trait::async_trait]
    impl Pollable for Pieces {
        async fn ready(&mut self) {}
    }

    impl InputStream for Pieces {
        fn read(&mut self, size: usize) -> StreamResult<Bytes> {
            let piece = self.0.pop_front().unwrap_or(Err(StreamError::Closed))?;
            Ok(piece.slice(..piece.len().min(size)))
        }
    }

    #[test]
    fn what_is_there_is_read_at_once_and_nothing_is_waited_for() {
        let mut table = ResourceTable::new();
        let pieces = [Ok(Bytes::from_static(b"abc")), Ok(Bytes::new())];
        let stream: DynInputStream = Box::new(Pieces(pieces.into()));
        let stream = table.push(stream).unwrap();
        let mut read = |length| read_now(&mut table, &stream, length);
        assert_eq!(read(2).unwrap().unwrap(), b"ab");
        assert!(read(2).is_none());
        assert!(matches!(read(2), Some(Err(StreamError::Closed))));
    }
}
