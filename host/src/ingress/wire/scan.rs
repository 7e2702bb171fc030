//! Follows a client's byte stream through its messages, without keeping any of it.

use memchr::memchr;

/// How every HTTP/2 connection begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The byte that must not be where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// Its index in the bytes scanned.
    pub(super) at: usize,
    /// What hyper refuses in its place.
    pub(super) refused_as: u8,
}

/// Where the stream is. It can be cut anywhere, so this is all that is known of what went before.
pub(super) struct Scanner {
    state: State,
    section: Section,
    /// The head has a `Content-Length`.
    sized: bool,
    /// The head has a `Transfer-Encoding`.
    coded: bool,
    /// In a head, the value of its `Content-Length`; in a body, the bytes left of it or of its
    /// chunk.
    length: u64,
}

#[derive(Clone, Copy)]
enum State {
    /// So many bytes, and all of them those of [`PREFACE`].
    Preface(usize),
    /// HTTP/2: nothing is looked at.
    Passed,
    /// Before the first byte of a line.
    LineStart,
    /// A line that began with CR.
    LineCr,
    /// So many bytes of a line, and all of them those of a name that matters.
    Name(Framing, usize),
    /// The value of `Content-Length`.
    Length,
    /// Any other part of a line, and whether it ends in CR so far.
    Line { cr: bool },
    /// A body of known length.
    Sized,
    /// Before the first digit of a chunk's size.
    SizeStart,
    /// A chunk's size.
    Size,
    /// White space behind a chunk's size.
    SizePadding,
    /// A chunk's extension.
    Extension,
    /// Behind the CR of a chunk's size.
    SizeCr,
    /// A chunk's data.
    Chunk,
    /// Behind a chunk's data.
    ChunkEnd,
    /// Behind the CR behind a chunk's data.
    ChunkCr,
}

/// What a line belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    /// A request line, or the empty lines that may come before it (RFC 9112, 2.2).
    RequestLine,
    Fields,
    Trailers,
}

/// The fields that say where a message ends (RFC 9112, 6.3).
#[derive(Clone, Copy)]
enum Framing {
    ContentLength,
    TransferEncoding,
}

impl Framing {
    fn name(self) -> &'static [u8] {
        match self {
            Self::ContentLength => b"content-length:",
            Self::TransferEncoding => b"transfer-encoding:",
        }
    }
}

/// The byte at hand must not be where it is.
struct Refused;

impl Scanner {
    /// At the beginning of a connection.
    pub(super) fn new() -> Self {
        Self {
            state: State::Preface(0),
            section: Section::RequestLine,
            sized: false,
            coded: false,
            length: 0,
        }
    }

    /// Scans the bytes that come next. What becomes of the stream after a violation is not defined.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Passed => return Ok(()),
                State::LineStart if !self.may_matter(byte) => at = self.line(bytes, at, false)?,
                State::Line { cr } => at = self.line(bytes, at, cr)?,
                State::Sized | State::Chunk => at += self.pass_data(bytes.len() - at),
                _ => {
                    let used = self.step(byte).map_err(|Refused| self.violation(at))?;
                    at += usize::from(used);
                }
            }
        }
        Ok(())
    }

    /// Whether a line that begins so is more than something to get to the end of.
    fn may_matter(&self, first: u8) -> bool {
        match first {
            b'\r' | b'\n' => true,
            b'c' | b'C' | b't' | b'T' => self.section == Section::Fields,
            _ => false,
        }
    }

    /// Goes by the rest of a line. Returns where the next one starts, or where the bytes end.
    fn line(&mut self, bytes: &[u8], at: usize, cr: bool) -> Result<usize, Violation> {
        let rest = &bytes[at..];
        let Some(end) = memchr(b'\n', rest) else {
            let cr = rest.ends_with(b"\r");
            self.state = State::Line { cr };
            return Ok(bytes.len());
        };
        let cr = if end == 0 { cr } else { rest[end - 1] == b'\r' };
        if !cr {
            return Err(self.violation(at + end));
        }
        self.state = State::LineStart;
        if self.section == Section::RequestLine {
            self.section = Section::Fields;
        }
        Ok(at + end + 1)
    }

    fn violation(&self, at: usize) -> Violation {
        let refused_as = match self.state {
            // hyper takes every byte but this in an extension
            State::Extension => b'\n',
            _ => 0,
        };
        Violation { at, refused_as }
    }

    /// Goes by one byte. Returns whether it is used up, or to be looked at again in the new state.
    fn step(&mut self, byte: u8) -> Result<bool, Refused> {
        match self.state {
            State::Preface(matched) => return Ok(self.preface(byte, matched)),
            State::Name(framing, matched) => return self.name(byte, framing, matched),
            State::Length => return Ok(self.content_length(byte)),
            State::LineStart => self.start_line(byte)?,
            State::LineCr if byte == b'\n' => self.end_section(),
            State::LineCr => return Err(Refused),
            _ => self.state = self.chunk(byte)?,
        }
        Ok(true)
    }

    fn preface(&mut self, byte: u8, matched: usize) -> bool {
        if byte != PREFACE[matched] {
            // then what matched was the beginning of a request; nothing in it is a violation
            self.state = State::LineStart;
            let _ = self.scan(&PREFACE[..matched]);
            return false;
        }
        self.state = if matched + 1 == PREFACE.len() {
            State::Passed
        } else {
            State::Preface(matched + 1)
        };
        true
    }

    fn start_line(&mut self, byte: u8) -> Result<(), Refused> {
        self.state = match byte {
            b'\n' => return Err(Refused),
            b'\r' => State::LineCr,
            b'c' | b'C' => State::Name(Framing::ContentLength, 1),
            _ => State::Name(Framing::TransferEncoding, 1),
        };
        Ok(())
    }

    fn name(&mut self, byte: u8, framing: Framing, matched: usize) -> Result<bool, Refused> {
        let name = framing.name();
        if byte.to_ascii_lowercase() != name[matched] {
            self.state = State::Line { cr: false };
            return Ok(false);
        }
        if matched + 1 < name.len() {
            self.state = State::Name(framing, matched + 1);
            return Ok(true);
        }
        match framing {
            Framing::ContentLength => {
                self.sized = true;
                // if there are two, they agree, or hyper refuses them
                self.length = 0;
                self.state = State::Length;
            }
            Framing::TransferEncoding => {
                self.coded = true;
                self.state = State::Line { cr: false };
            }
        }
        if self.sized && self.coded {
            return Err(Refused);
        }
        Ok(true)
    }

    /// Reads what hyper accepts, which is digits; what it makes of all else doesn't matter.
    fn content_length(&mut self, byte: u8) -> bool {
        match byte {
            b' ' | b'\t' => {}
            b'0'..=b'9' => {
                let digit = u64::from(byte - b'0');
                self.length = self.length.saturating_mul(10).saturating_add(digit);
            }
            _ => {
                self.state = State::Line { cr: false };
                return false;
            }
        }
        true
    }

    /// An empty line ends the head or the trailers, and means nothing before a request line.
    fn end_section(&mut self) {
        if self.section == Section::Fields && self.coded {
            self.state = State::SizeStart;
        } else if self.section == Section::Fields && self.length > 0 {
            self.state = State::Sized;
        } else {
            self.next_message();
        }
    }

    fn next_message(&mut self) {
        self.state = State::LineStart;
        self.section = Section::RequestLine;
        self.sized = false;
        self.coded = false;
        self.length = 0;
    }

    /// Goes by the data at hand, of which there are so many bytes. Returns how many it took.
    fn pass_data(&mut self, available: usize) -> usize {
        let taken = usize::try_from(self.length).map_or(available, |left| left.min(available));
        self.length -= taken as u64;
        if self.length == 0 {
            match self.state {
                State::Chunk => self.state = State::ChunkEnd,
                _ => self.next_message(),
            }
        }
        taken
    }

    /// The framing of chunks (RFC 9112, 7.1).
    fn chunk(&mut self, byte: u8) -> Result<State, Refused> {
        match (self.state, byte) {
            (State::SizeStart, _) => {
                self.length = u64::from(hex(byte).ok_or(Refused)?);
                Ok(State::Size)
            }
            (State::Size | State::SizePadding, b' ' | b'\t') => Ok(State::SizePadding),
            (State::Size | State::SizePadding, b';')
            | (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::Extension),
            (State::Size | State::Extension, b'\r') => Ok(State::SizeCr),
            (State::Size, _) => {
                let digit = u64::from(hex(byte).ok_or(Refused)?);
                let shifted = self.length.checked_mul(16).ok_or(Refused)?;
                self.length = shifted | digit;
                Ok(State::Size)
            }
            (State::SizeCr, b'\n') if self.length == 0 => {
                self.section = Section::Trailers;
                Ok(State::LineStart)
            }
            (State::SizeCr, b'\n') => Ok(State::Chunk),
            (State::ChunkEnd, b'\r') => Ok(State::ChunkCr),
            (State::ChunkCr, b'\n') => Ok(State::SizeStart),
            _ => Err(Refused),
        }
    }
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
