//! The threads of a server: two for each processor, and one more.
//!
//! One of the two is an event loop of its own, with a share of the connections ([`Loops`]). Everything a
//! request needs happens there, from its first byte to the last of its answer, as long as its guest neither
//! waits nor computes for long: to wake another thread costs as much as all the rest of a small request. The
//! other is one of a pool whose threads take work from one another ([`Threads::block_on`]). There guests go
//! on whose answers come from other threads or that compute for long, and there are deploys and what the
//! operator asks for. It has one thread more than there are processors, so that one has time to see what comes
//! in while guests compute on all others.
//!
//! That there are two threads for a processor costs nothing while one of them sleeps. When both have work
//! the system shares the processor between them, which a loop, that seldom works for long, seldom waits for.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{JoinHandle, available_parallelism};

use anyhow::{Context as _, Result};
use hyper::rt::Executor;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::clock;
use crate::service::gate::{self, Gate};
use crate::service::run_queue;
use crate::telemetry::shards::this_thread;

/// All threads of a server. They end when this is dropped, with what is left of their work.
pub struct Threads {
    /// First to end: what it drives may need a loop.
    shared: Runtime,
    _running: Vec<LoopThread>,
    loops: Arc<Loops>,
    gate: Arc<Gate>,
}

/// The event loops, and how many connections each has.
pub struct Loops {
    loops: Vec<Arc<EventLoop>>,
    /// The pool, which serves connections if there are no loops.
    shared: Arc<EventLoop>,
}

struct EventLoop {
    runtime: Handle,
    connections: AtomicUsize,
}

/// A connection's place in an event loop, until it is dropped.
pub struct Berth(Arc<EventLoop>);

/// Runs the streams of a connection that has several (HTTP/2): on its own loop, or, if that has worked for
/// long, in the shared pool. One connection can then use all processors.
#[derive(Clone)]
pub struct StreamExecutor(Handle);

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    ///
    /// A system that gives no threads.
    pub fn start() -> Result<Self> {
        let processors = processors();
        let workers = processors + 1;
        let gate = Gate::new(processors, processors + workers);
        let running = (0..processors).map(|_| LoopThread::start(&gate));
        let running = running.collect::<Result<Vec<_>>>()?;
        let (parked, unparked) = (Arc::clone(&gate), Arc::clone(&gate));
        let shared = Builder::new_multi_thread()
            .worker_threads(workers)
            // a guest that goes on and on must not keep the rest of its thread's tasks for long
            .event_interval(2)
            .enable_all()
            .on_thread_park(move || parked.idle())
            .on_thread_unpark(move || unparked.wakes())
            .build()
            .context("the async runtime could not be made")?;
        let loops = Loops::of(
            running.iter().map(|running| running.runtime.clone()),
            shared.handle().clone(),
        );
        Ok(Self {
            shared,
            _running: running,
            loops: Arc::new(loops),
            gate,
        })
    }

    /// Where connections are served.
    pub fn loops(&self) -> &Arc<Loops> {
        &self.loops
    }

    /// Where guests share the processors.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Runs a future to its end, and what it spawns in the shared pool.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.shared.block_on(future)
    }
}

impl Loops {
    fn of(runtimes: impl Iterator<Item = Handle>, shared: Handle) -> Self {
        let event_loop = |runtime| {
            Arc::new(EventLoop {
                runtime,
                connections: AtomicUsize::new(0),
            })
        };
        Self {
            loops: runtimes.map(event_loop).collect(),
            shared: event_loop(shared),
        }
    }

    /// A place for one more connection, in the loop that has the fewest.
    pub fn berth(&self) -> Berth {
        let count = |event_loop: &&Arc<EventLoop>| event_loop.connections.load(Ordering::Relaxed);
        let least = self.loops.iter().min_by_key(count);
        let least = least.unwrap_or(&self.shared);
        least.connections.fetch_add(1, Ordering::Relaxed);
        Berth(Arc::clone(least))
    }

    /// Runs the streams of a connection.
    pub fn streams(&self) -> StreamExecutor {
        StreamExecutor(self.shared.runtime.clone())
    }
}

impl Berth {
    /// The loop that it is in.
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, stream: F) {
        if gate::is_tired() {
            self.0.spawn(stream);
        } else {
            tokio::spawn(stream);
        }
    }
}

/// As many as tokio would have threads.
fn processors() -> usize {
    let wanted = std::env::var("TOKIO_WORKER_THREADS");
    let wanted = wanted.ok().and_then(|wanted| wanted.parse().ok());
    let there = || available_parallelism().unwrap_or(NonZeroUsize::MIN);
    wanted.unwrap_or_else(there).get()
}

/// The thread of an event loop. It ends when this is dropped.
struct LoopThread {
    runtime: Handle,
    thread: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<Infallible>>,
}

impl LoopThread {
    fn start(gate: &Arc<Gate>) -> Result<Self> {
        let (parked, unparked) = (Arc::clone(gate), Arc::clone(gate));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || parked.idle())
            .on_thread_unpark(move || {
                unparked.wakes();
                clock::forget();
            })
            .build()
            .context("an event loop could not be made")?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("loop".into())
            .spawn(move || {
                // the first numbers, so that no two loops count in the same place
                this_thread();
                clock::forget();
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        () = run_queue::serve() => {}
                    }
                });
                // what may still block in the background is not waited for
                runtime.shutdown_background();
            })
            .context("the thread of an event loop could not be started")?;
        Ok(Self {
            runtime: handle,
            thread: Some(thread),
            stop: Some(stop),
        })
    }
}

impl Drop for LoopThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // a panic there was said where it happened
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_where_the_fewest_are() {
        let threads = Threads::start().unwrap();
        let shared = threads.shared.handle();
        let loops = Loops::of(std::iter::repeat_n(shared.clone(), 3), shared.clone());
        let counts = || -> Vec<_> {
            let counts = loops
                .loops
                .iter()
                .map(|it| it.connections.load(Ordering::Relaxed));
            counts.collect()
        };
        let mut berths: Vec<_> = (0..7).map(|_| loops.berth()).collect();
        assert_eq!(counts(), [3, 2, 2]);
        let second = Arc::clone(&loops.loops[1]);
        berths.retain(|berth| !Arc::ptr_eq(&berth.0, &second));
        assert_eq!(counts(), [3, 0, 2]);
        berths.extend((0..3).map(|_| loops.berth()));
        assert_eq!(
            counts(),
            [3, 3, 2],
            "the one that was left is filled up first"
        );
    }

    #[test]
    fn what_is_spawned_on_a_loop_runs_in_its_thread() {
        let threads = Threads::start().unwrap();
        let berth = threads.loops().berth();
        let task = berth
            .runtime()
            .spawn(async { std::thread::current().name().map(str::to_owned) });
        let name = threads.block_on(task).unwrap();
        assert_eq!(name.as_deref(), Some("loop"));
    }

    #[test]
    fn the_threads_end_with_what_is_left_of_their_work() {
        struct Told(std::sync::mpsc::Sender<()>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (told, dropped) = std::sync::mpsc::channel();
        let threads = Threads::start().unwrap();
        let left = Told(told);
        let berth = threads.loops().berth();
        berth.runtime().spawn(async move {
            let _left = left;
            std::future::pending::<()>().await;
        });
        drop(threads);
        assert_eq!(dropped.try_recv(), Ok(()));
    }
}
