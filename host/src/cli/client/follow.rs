//! A stream that goes on when the host is restarted.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Client, Error, Message, Stream};

/// Between two tries to connect again.
const PAUSE: Duration = Duration::from_millis(500);
/// Messages that may wait to be shown; a host that writes faster has to wait.
const WAITING: usize = 64;

/// What comes from a stream.
#[derive(Debug)]
pub(in crate::cli) enum News {
    /// A message.
    Message(Message),
    /// The host is gone, and why; it is asked again until it is back.
    Lost(String),
    /// It is back.
    Back,
}

/// Where news come from. Dropping it ends the following.
pub(in crate::cli) struct Follow {
    news: mpsc::Receiver<Result<News, Error>>,
}

impl Follow {
    /// What comes next. Nothing is lost if the future is dropped before it is done.
    ///
    /// # Errors
    ///
    /// The host could not be reached in the first place, or its answer is of the kind that waiting
    /// doesn't change.
    pub(in crate::cli) async fn next(&mut self) -> Result<News, Error> {
        match self.news.recv().await {
            Some(news) => news,
            // the runtime ends, and with it whoever asks
            None => std::future::pending().await,
        }
    }
}

/// Follows the stream at `path`, and after a loss the one at `again`; the host is told there which
/// message was the last, if its messages have ids.
pub(in crate::cli) fn follow(client: &Client, path: String, again: String) -> Follow {
    let (sender, news) = mpsc::channel(WAITING);
    let client = client.clone();
    tokio::spawn(async move {
        let gone = sender.clone();
        tokio::select! {
            () = gone.closed() => {}
            error = run(&client, &path, &again, &sender) => {
                let _ = sender.send(Err(error)).await;
            }
        }
    });
    Follow { news }
}

async fn run(
    client: &Client,
    path: &str,
    again: &str,
    news: &mpsc::Sender<Result<News, Error>>,
) -> Error {
    let mut last = None;
    let mut stream = match client.stream(path, None).await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    loop {
        let error = forward(&mut stream, &mut last, news).await;
        let _ = news.send(Ok(News::Lost(error.in_passing()))).await;
        stream = loop {
            match client.stream(again, last.as_deref()).await {
                Ok(stream) => break stream,
                Err(error) if error.may_pass() => sleep(PAUSE).await,
                Err(error) => return error,
            }
        };
        let _ = news.send(Ok(News::Back)).await;
    }
}

async fn forward(
    stream: &mut Stream,
    last: &mut Option<String>,
    news: &mpsc::Sender<Result<News, Error>>,
) -> Error {
    loop {
        match stream.next().await {
            Ok(message) => {
                last.clone_from(&message.id);
                let _ = news.send(Ok(News::Message(message))).await;
            }
            Err(error) => return error,
        }
    }
}
