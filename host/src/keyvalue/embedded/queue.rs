//! The way of a write operation to the writer, and of its answer back.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::super::KeyValueError;
use super::entries::{Entries, Fault};

/// How many bytes of operations may be on their way at once; who comes later waits. A bound in
/// bytes, since one operation may be a million times as large as the next.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// What an operation takes beside its keys and values, so that tiny ones are bounded as well.
const OPERATION_BYTES: usize = 512;

/// One operation on its way to the writer.
pub(super) trait Write: Send {
    /// Bytes that it takes.
    fn bytes(&self) -> usize;

    /// Does the work and keeps the result, also if the operation is refused.
    ///
    /// # Errors
    ///
    /// Anything that forbids to commit this transaction.
    fn apply(&mut self, entries: &mut Entries<'_>) -> Result<(), redb::StorageError>;

    /// Tells the caller: its own result if the transaction was committed, else that failure.
    fn answer(self: Box<Self>, committed: &Result<(), KeyValueError>);
}

struct Operation<T, F> {
    /// Gone once it has run.
    work: Option<F>,
    result: Option<Result<T, KeyValueError>>,
    reply: oneshot::Sender<Result<T, KeyValueError>>,
    bytes: usize,
    /// Held until the caller is told: only then has the operation's memory been given back.
    _permit: OwnedSemaphorePermit,
}

impl<T, F> Write for Operation<T, F>
where
    T: Send,
    F: FnOnce(&mut Entries<'_>) -> Result<T, Fault> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn apply(&mut self, entries: &mut Entries<'_>) -> Result<(), redb::StorageError> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        self.result = Some(match work(entries) {
            Ok(value) => Ok(value),
            Err(Fault::Refused(error)) => Err(error),
            Err(Fault::Storage(error)) => return Err(error),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, committed: &Result<(), KeyValueError>) {
        let answer = match (committed, self.result) {
            (Err(error), _) => Err(error.clone()),
            (Ok(()), Some(result)) => result,
            // A transaction is committed only when all of its operations have run.
            (Ok(()), None) => Err(KeyValueError::Closed),
        };
        // Nobody may be waiting any more.
        let _ = self.reply.send(answer);
    }
}

/// The end of the queue that operations are put into.
pub(super) struct Queue {
    /// Gone once the queue is closed.
    sender: Mutex<Option<Sender<Box<dyn Write>>>>,
    room: Arc<Semaphore>,
}

impl Queue {
    pub(super) fn new() -> (Self, Receiver<Box<dyn Write>>) {
        let (sender, receiver) = channel();
        let queue = Self {
            sender: Mutex::new(Some(sender)),
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
        };
        (queue, receiver)
    }

    /// Has the writer do `work`, which carries `payload` bytes, and waits until it is durable.
    ///
    /// Dropped while it waits for room, the future takes the operation with it; dropped later, the
    /// operation happens all the same.
    pub(super) async fn submit<T, F>(&self, payload: usize, work: F) -> Result<T, KeyValueError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Entries<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let bytes = payload.saturating_add(OPERATION_BYTES);
        // The limits of this layer keep every operation far below the whole room; were one not, it
        // would have to wait for ever.
        let permits = u32::try_from(bytes.min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room)
            .acquire_many_owned(permits)
            .await
            .map_err(|_closed| KeyValueError::Closed)?;
        let (reply, answer) = oneshot::channel();
        self.send(Box::new(Operation {
            work: Some(work),
            result: None,
            reply,
            bytes,
            _permit: permit,
        }))?;
        // The writer answers everything that it is sent, unless its thread has died.
        answer.await.unwrap_or_else(|_dropped| {
            Err(KeyValueError::OutcomeUnknown {
                reason: "the thread that writes has ended".into(),
            })
        })
    }

    /// Sends an operation that does nothing, for the writer to notice that the database is broken.
    pub(super) fn probe(&self) {
        let _ = self.send(Box::new(Probe));
    }

    fn send(&self, operation: Box<dyn Write>) -> Result<(), KeyValueError> {
        match &*self.sender.lock() {
            Some(sender) => sender
                .send(operation)
                .map_err(|_ended| KeyValueError::Closed),
            None => Err(KeyValueError::Closed),
        }
    }

    /// Lets nothing more in. The writer ends when it has done what is in already.
    pub(super) fn close(&self) {
        self.room.close();
        self.sender.lock().take();
    }
}

struct Probe;

impl Write for Probe {
    fn bytes(&self) -> usize {
        OPERATION_BYTES
    }

    fn apply(&mut self, _entries: &mut Entries<'_>) -> Result<(), redb::StorageError> {
        Ok(())
    }

    fn answer(self: Box<Self>, _committed: &Result<(), KeyValueError>) {}
}
