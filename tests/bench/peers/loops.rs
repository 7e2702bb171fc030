//! Event loops, one for each processor: what Wharf serves connections in. For the peers that are to be
//! compared with that.

use std::future::pending;
use std::io;
use std::net::TcpStream;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle};

/// The loops, and whose turn it is.
pub(crate) struct Loops {
    loops: Vec<Handle>,
    next: usize,
}

impl Loops {
    /// Starts as many as tokio would have threads. They end with the process.
    ///
    /// # Errors
    ///
    /// A system that gives no threads.
    pub(crate) fn start() -> io::Result<Self> {
        let wanted = std::env::var("TOKIO_WORKER_THREADS").ok();
        let count = wanted.and_then(|wanted| wanted.parse().ok());
        let start = |_| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            std::thread::Builder::new().spawn(move || runtime.block_on(pending::<()>()))?;
            Ok(handle)
        };
        let count = count.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        let loops = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { loops, next: 0 })
    }

    /// Has the next loop serve a connection that was accepted elsewhere.
    ///
    /// # Errors
    ///
    /// A connection that can't be given away.
    pub(crate) fn serve<F>(
        &mut self,
        stream: tokio::net::TcpStream,
        serve: impl FnOnce(tokio::net::TcpStream) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stream: TcpStream = stream.into_std()?;
        self.next = (self.next + 1) % self.loops.len();
        self.loops[self.next].spawn(async move {
            if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                serve(stream).await;
            }
        });
        Ok(())
    }
}
