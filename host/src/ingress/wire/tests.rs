use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

/// A client whose bytes arrive in these pieces.
struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    fn cut(bytes: &[u8], cuts: &[usize]) -> Self {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| bytes[cut[0]..cut[1]].to_vec());
        Self(pieces.filter(|piece| !piece.is_empty()).collect())
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let later = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !later.is_empty() {
                self.0.push_front(later);
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn pulse() -> Arc<Pulse> {
    Pulse::new(Duration::from_secs(10), Duration::from_mins(1))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// What hyper gets to read.
async fn passed(bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut read = Vec::new();
    let mut strict = Strict::new(Pieces::cut(bytes, cuts), pulse());
    strict.read_to_end(&mut read).await.unwrap();
    read
}

fn after_violation(bytes: &[u8], at: usize) -> Vec<u8> {
    [&bytes[..at], &[0], END].concat()
}

/// Answers a whole body with 200 and itself, any other with 422.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let whole = request.into_body().collect().await;
    let (status, body) = whole.map_or((422, Bytes::new()), |whole| (200, whole.to_bytes()));
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status.try_into().unwrap();
    Ok(response)
}

/// What a hyper behind a [`Strict`] makes of these bytes: each answer's status and body. The client
/// stays until the server closes, unless it is one that leaves.
async fn answers(bytes: &[u8], cut: usize, leaves: bool) -> Vec<(u16, Vec<u8>)> {
    let (mut client, server) = duplex(1 << 20);
    let serving = async {
        let builder = Builder::new(TokioExecutor::new());
        let io = TokioIo::new(Strict::new(server, pulse()));
        let _broken_off = builder.serve_connection(io, service_fn(echo)).await;
    };
    let asking = async {
        client.write_all(&bytes[..cut]).await.unwrap();
        tokio::task::yield_now().await;
        let _enough = client.write_all(&bytes[cut..]).await;
        if leaves {
            client.shutdown().await.unwrap();
        }
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.unwrap();
        answers
    };
    let ((), bytes) = tokio::join!(serving, asking);
    let mut rest = &bytes[..];
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let end = rest.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(rest[..end].to_vec()).unwrap();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let body = rest[end..end + length].to_vec();
        answers.push((head[9..12].parse().unwrap(), body));
        rest = &rest[end + length..];
    }
    answers
}

fn statuses(answers: &[(u16, Vec<u8>)]) -> Vec<u16> {
    answers.iter().map(|(status, _)| *status).collect()
}

#[tokio::test]
async fn a_head_that_is_malformed_is_refused_wherever_it_is_cut() {
    for head in [
        "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "GET / HTTP/1.0\nHost: x\n\n",
        "PRI * HTTP/2.0\n\nSM\n\n",
        "PRI * HTTP/2.0\r\n\nSM\r\n\r\n",
        "PRI / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nContent-Length: 5\nX: a\r\n\r\nhello",
        "GET / HTTP/1.1\r\nContent-Length\n: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\ntransfer-ENCODING:chunked\r\ncontent-LENGTH:5\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length:\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        // hyper's own part
        "GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "GET / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nContent-Length: 5 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nContent-Length:\r\n\r\nhello",
        "GET / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\nhello",
        "GET / HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\n Content-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nX: a\r\n Content-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nX: a\rContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nX: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /\r\n\r\n",
    ] {
        for before in ["", "GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\n\n\n"] {
            let bytes = [before, head, "GET / HTTP/1.1\r\n\r\n"].concat();
            let wanted: &[u16] = if before.is_empty() {
                &[400]
            } else {
                &[200, 400]
            };
            for cut in 0..bytes.len() {
                let answers = answers(bytes.as_bytes(), cut, false).await;
                assert_eq!(statuses(&answers), wanted, "{bytes:?} cut at {cut}");
            }
        }
    }
}

#[tokio::test]
async fn a_violation_at_the_last_byte_is_answered_at_once() {
    for bytes in ["\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: x\r\n\n"] {
        for cut in 0..bytes.len() {
            let answers = answers(bytes.as_bytes(), cut, false).await;
            assert_eq!(statuses(&answers), [400], "{bytes:?}");
        }
    }
}

#[tokio::test]
async fn a_chunked_body_that_is_malformed_is_not_whole_wherever_it_is_cut() {
    for body in [
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "zz\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "5;a\n\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nX: a\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\r\n\n",
        "5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: a\r\n folded\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : a\r\n\r\n",
        "5\r\nhello\r\n0\r\nX\0: a\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
    ] {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = [head, body, "GET / HTTP/1.1\r\n\r\n"].concat();
        for cut in 0..bytes.len() {
            let answers = answers(bytes.as_bytes(), cut, false).await;
            assert_eq!(statuses(&answers), [422], "{body:?} cut at {cut}");
        }
    }
}

#[tokio::test]
async fn what_is_well_formed_passes_wherever_it_is_cut() {
    let bytes = b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nC: 1\r\nTE:\r\nContent-Lengths: 7\r\n\r\n\
        \r\nPOST / HTTP/1.1\r\nCONTENT-LENGTH:\t 005 \r\nContent-Length: 5\r\n\r\n\na\r\n\n\
        POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Content-Length: 3\r\n\r\n\
        1\r\n\n\r\n0A;a=\"b\" ;\x80\r\n0\r\n\r\nGET\n\n\r\n00\r\nContent-Length: 9\r\nX: a\r\n\r\n\
        POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n\
        POST / HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nend";
    for cut in 0..bytes.len() {
        let bodies: [&[u8]; 5] = [b"", b"\na\r\n\n", b"\n0\r\n\r\nGET\n\n", b"", b"end"];
        let wanted = bodies.map(|body| (200, body.to_vec()));
        assert_eq!(answers(bytes, cut, false).await, wanted, "cut at {cut}");
    }
}

#[tokio::test]
async fn http_2_is_not_looked_at_and_begins_with_its_whole_preface() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let bytes = [preface, "\n\0\n GET / HTTP/1.1\n\n"].concat().into_bytes();
    for cut in 0..bytes.len() {
        assert_eq!(passed(&bytes, &[cut]).await, bytes);
    }
    for length in 1..preface.len() {
        let begun = &preface[..length];
        let bytes = [begun, "\t\n\r\n"].concat().into_bytes();
        // a line that is only CR is over; any other ends with the LF
        let at = length + usize::from(!begun.ends_with("\n\r"));
        for cut in 0..bytes.len() {
            let wanted = after_violation(&bytes, at);
            assert_eq!(
                passed(&bytes, &[cut]).await,
                wanted,
                "{begun:?} cut at {cut}"
            );
        }
    }
    let later = ["GET / HTTP/1.1\r\n\r\n", preface, "\n"]
        .concat()
        .into_bytes();
    let wanted = after_violation(&later, later.len() - 1);
    assert_eq!(passed(&later, &[]).await, wanted);
}

#[tokio::test]
async fn writes_pass_as_they_are() {
    let (mut client, server) = duplex(64);
    assert!(server.is_write_vectored());
    let mut strict = Strict::new(server, pulse());
    assert!(strict.is_write_vectored());
    let parts = [IoSlice::new(b"one\n"), IoSlice::new(b"two\n")];
    assert_eq!(strict.write_vectored(&parts).await.unwrap(), 8);
    strict.write_all(b"three").await.unwrap();
    strict.shutdown().await.unwrap();
    let mut read = String::new();
    client.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "one\ntwo\nthree");
}

/// The bodies of the well-formed messages that a stream begins with, by a parser that has all of it
/// at once and is as simple as can be. Of a chunked body's bytes only the data count.
fn well_formed(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some(body) = message(&mut bytes) {
        bodies.push(body);
    }
    bodies
}

fn line<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = bytes[..end].strip_suffix(b"\r")?;
    *bytes = &bytes[end + 1..];
    Some(line)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn message(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    while line(bytes)?.is_empty() {}
    let (mut length, mut coded) = (None, false);
    loop {
        let field = line(bytes)?;
        if field.is_empty() {
            break;
        }
        let colon = field.iter().position(|byte| *byte == b':')?;
        let name = field[..colon].to_ascii_lowercase();
        if name == b"content-length" {
            let value = str::from_utf8(&field[colon + 1..]).ok()?;
            length = Some(value.trim_matches([' ', '\t']).parse().ok()?);
        }
        coded |= name == b"transfer-encoding";
    }
    match (coded, length) {
        (true, Some(_)) => None,
        (false, length) => take(bytes, length.unwrap_or(0)).map(<[u8]>::to_vec),
        (true, None) => chunks(bytes),
    }
}

fn chunks(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let size = str::from_utf8(line(bytes)?).ok()?;
        let (digits, extension) = size.split_once(';').unwrap_or((size, ""));
        if extension.contains(|c: char| c.is_control() && c != '\t') {
            return None;
        }
        let digits = if extension.len() + digits.len() < size.len() {
            digits.trim_end_matches([' ', '\t'])
        } else {
            digits
        };
        let size = usize::from_str_radix(digits, 16).ok()?;
        if size == 0 {
            while !line(bytes)?.is_empty() {}
            return Some(data);
        }
        data.extend(take(bytes, size)?);
        if take(bytes, 2)? != b"\r\n" {
            return None;
        }
    }
}

/// Bytes that look like framing.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "\n",
        "\r\n",
        "\r",
        "\0",
        "0\r\n\r\n",
        "5",
        "GET / HTTP/1.1\r\n",
        "Content-Length: 5\r\n",
    ]);
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat().into_bytes())
}

fn well_formed_message() -> impl Strategy<Value = Vec<u8>> {
    let fields = prop::sample::subsequence(
        vec![
            "Host: x",
            "C:",
            "t: 1",
            "Content-Type: a/b",
            "TE: trailers",
            "Transfer-Encode: x",
        ],
        0..=6,
    );
    let line = prop::sample::select(vec!["GET / HTTP/1.1", "\r\nP /?c:t HTTP/1.1"]);
    (
        line,
        fields,
        prop::collection::vec(body(), 0..3),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(line, fields, parts, chunked, extras)| {
            let mut bytes = line.as_bytes().to_vec();
            for field in fields {
                bytes.extend(format!("\r\n{field}").bytes());
            }
            if chunked {
                bytes.extend(b"\r\ntransfer-Encoding: chunked\r\n\r\n");
                for part in parts.iter().filter(|part| !part.is_empty()) {
                    let extension = if extras { " ;a=b" } else { "" };
                    bytes.extend(format!("{:X}{extension}\r\n", part.len()).bytes());
                    bytes.extend([part, &b"\r\n"[..]].concat());
                }
                bytes.extend(if extras {
                    &b"0\r\nX: 1\r\n\r\n"[..]
                } else {
                    b"0\r\n\r\n"
                });
            } else {
                let body = parts.concat();
                if !body.is_empty() || extras {
                    bytes.extend(format!("\r\nContent-length: {}", body.len()).bytes());
                }
                bytes.extend([b"\r\n\r\n", &body[..]].concat());
            }
            bytes
        })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(well_formed_message(), 1..4).prop_map(|messages| messages.concat())
}

/// A stream in which a few places were changed for the worse.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let patch = prop::sample::select(vec![
        "",
        "",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "\0",
        "0",
        "5",
        " ",
        ";",
        ":",
        "a",
        "\r\nContent-Length: 1",
        "\r\nTransfer-Encoding: chunked",
    ]);
    let places = prop::collection::vec((any::<prop::sample::Index>(), 0..3_usize, patch), 1..4);
    (stream(), places).prop_map(|(mut bytes, places)| {
        for (index, removed, patch) in places {
            let at = index.index(bytes.len());
            let end = (at + removed).min(bytes.len() - 1).max(at);
            bytes.splice(at..end, patch.bytes());
        }
        bytes
    })
}

proptest! {
    #[test]
    fn what_is_well_formed_is_not_touched(
        bytes in stream(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        prop_assert_eq!(run(passed(&bytes, &cuts)), bytes);
    }

    #[test]
    fn cuts_make_no_difference(
        bytes in mutated(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        prop_assert_eq!(run(passed(&bytes, &cuts)), run(passed(&bytes, &[])));
    }

    #[test]
    fn hyper_accepts_only_what_a_strict_parser_accepts(
        bytes in mutated(),
        cut in any::<prop::sample::Index>(),
    ) {
        let answers = run(answers(&bytes, cut.index(bytes.len()), true));
        let accepted: Vec<_> = answers
            .iter()
            .filter(|(status, _)| *status == 200)
            .map(|(_, body)| body.clone())
            .collect();
        let wanted = well_formed(&bytes);
        prop_assert!(wanted.starts_with(&accepted), "{:?} but {:?}", accepted, wanted);
        let ends = statuses(&answers).iter().rposition(|status| *status == 200);
        prop_assert!(ends.is_none_or(|last| last + 1 == accepted.len()), "none after a refusal");
    }
}

/// What was written: the bytes, and whether as one piece.
#[derive(Default)]
struct Written(Vec<(Vec<u8>, bool)>);

impl AsyncWrite for Written {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.push((buf.to_vec(), true));
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.to_vec()).collect();
        let written = all.len();
        self.0.push((all, false));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

proptest! {
    #[test]
    fn pieces_go_out_in_their_order_and_as_one_if_they_are_short(
        answers in prop::collection::vec(prop::collection::vec(0usize..3 * SHORT, 1..4), 1..4)
    ) {
        let mut strict = Strict::new(Written::default(), pulse());
        let answers: Vec<Vec<Vec<u8>>> = answers
            .iter()
            .map(|lengths| lengths.iter().zip(1..).map(|(&length, byte)| vec![byte; length]).collect())
            .collect();
        for pieces in &answers {
            let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            run(async { strict.write_vectored(&slices).await }).unwrap();
        }
        for (pieces, (bytes, as_one)) in answers.iter().zip(&strict.io.0) {
            prop_assert_eq!(&pieces.concat(), bytes);
            prop_assert_eq!(bytes.len() <= SHORT, *as_one);
        }
    }
}
