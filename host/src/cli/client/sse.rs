//! Server-sent events (WHATWG HTML, 9.2), as far as the admin API uses them.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::Error;

/// How long a stream may be silent: the host writes a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The most that one message may have, in bytes.
const MOST: usize = 32 << 20;

/// One message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Message {
    /// Its kind.
    pub(in crate::cli) event: String,
    /// What it says.
    pub(in crate::cli) data: String,
    /// Its id, or that of the last message that had one.
    pub(in crate::cli) id: Option<String>,
}

/// A stream that is open.
pub(in crate::cli) struct Stream {
    body: Incoming,
    parser: Parser,
    ready: VecDeque<Message>,
    address: String,
}

impl Stream {
    pub(super) fn new(body: Incoming, address: String) -> Self {
        Self {
            body,
            parser: Parser::default(),
            ready: VecDeque::new(),
            address,
        }
    }

    /// The next message. Nothing is lost if the future is dropped before it is done.
    ///
    /// # Errors
    ///
    /// The stream ended, as it does only if the host does.
    pub(in crate::cli) async fn next(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            let lost = |what: &str| Error::lost(&self.address, what);
            match timeout(SILENCE, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    let bytes = frame.into_data().unwrap_or_default();
                    let messages = self.parser.push(&bytes);
                    self.ready
                        .extend(messages.ok_or_else(|| lost("a message without end"))?);
                }
                Ok(Some(Err(error))) => return Err(lost(&error.to_string())),
                Ok(None) => return Err(lost("it ended the stream")),
                Err(_) => return Err(lost("it is silent")),
            }
        }
    }
}

/// Makes messages of bytes, wherever those were cut.
#[derive(Default)]
struct Parser {
    /// The line that isn't ended yet.
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed now belongs to it.
    after_return: bool,
    /// Something was read, so that no byte order mark can follow.
    begun: bool,
    event: String,
    data: Option<String>,
    id: Option<String>,
}

impl Parser {
    /// The messages that end within these bytes; `None` if one is too long.
    fn push(&mut self, bytes: &[u8]) -> Option<Vec<Message>> {
        let mut messages = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => messages.extend(self.end_line()),
                byte => self.line.push(byte),
            }
        }
        let size = self.line.len() + self.data.as_ref().map_or(0, String::len);
        (size <= MOST).then_some(messages)
    }

    fn end_line(&mut self) -> Option<Message> {
        let line = std::mem::take(&mut self.line);
        let mut line = &*String::from_utf8_lossy(&line);
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            return self.end_message();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // comments begin with the colon; `retry` and what is to come don't matter here
            _ => {}
        }
        None
    }

    fn end_message(&mut self) -> Option<Message> {
        let event = std::mem::take(&mut self.event);
        let data = self.data.take()?;
        let event = if event.is_empty() {
            "message".to_owned()
        } else {
            event
        };
        let id = self.id.clone();
        Some(Message { event, data, id })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "\u{feff}: hello\n\nevent: event\nid: 5f3a-17\ndata: {\"größe\":1}\n\n\
        data:a\r\ndata: b\r\ndata\r\n\r\nevent: lost\n\n:\rid\rdata: c\r\revent: x\ndata: not ended\n";

    fn message(event: &str, data: &str, id: Option<&str>) -> Message {
        Message {
            event: event.to_owned(),
            data: data.to_owned(),
            id: id.map(ToOwned::to_owned),
        }
    }

    fn expected() -> Vec<Message> {
        vec![
            message("event", "{\"größe\":1}", Some("5f3a-17")),
            message("message", "a\nb\n", Some("5f3a-17")),
            message("message", "c", Some("")),
        ]
    }

    #[test]
    fn a_stream_is_read_as_the_standard_says() {
        assert_eq!(
            Parser::default().push(STREAM.as_bytes()).unwrap(),
            expected()
        );
    }

    #[test]
    fn a_stream_may_be_cut_at_any_byte() {
        for cut in 0..=STREAM.len() {
            let mut parser = Parser::default();
            let (first, second) = STREAM.as_bytes().split_at(cut);
            let mut messages = parser.push(first).unwrap();
            messages.extend(parser.push(second).unwrap());
            assert_eq!(messages, expected(), "cut at {cut}");
        }
    }

    #[test]
    fn a_message_without_end_is_not_collected_for_ever() {
        let mut parser = Parser::default();
        let chunk = vec![b'x'; 1 << 20];
        let taken = (0..64)
            .take_while(|_| parser.push(&chunk).is_some())
            .count();
        assert_eq!(taken, MOST >> 20);
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_make_the_same_messages(sizes in prop::collection::vec(1_usize..9, 1..200)) {
            let mut parser = Parser::default();
            let mut rest = STREAM.as_bytes();
            let mut messages = Vec::new();
            for size in sizes.into_iter().chain(std::iter::repeat(1)) {
                if rest.is_empty() {
                    break;
                }
                let (chunk, tail) = rest.split_at(size.min(rest.len()));
                messages.extend(parser.push(chunk).unwrap());
                rest = tail;
            }
            prop_assert_eq!(messages, expected());
        }

        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Parser::default().push(&bytes);
        }
    }
}
