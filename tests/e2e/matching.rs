//! Each response goes to the request that it answers, however many there are and however they come.

use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wharf_tests::client::Body;
use wharf_tests::{PATIENCE, Target, whole};

use crate::variants::{self, VARIANTS, Variant, settled};

const BUSY: &str = "
    [limits]
    timeout = '100s'
    queue_wait = '100s'
";

/// Ways to send a token back.
const WAYS: [&str; 6] = [
    "head,token,finish",
    "length:9,head,token,finish",
    "head,flush,token,flush,finish",
    "sleep:3,head,token,finish",
    "work:2,head,token,finish,work:2",
    "head,echo-all,finish",
];

/// Different for each number.
fn token(number: usize) -> String {
    format!("token{number:04}")
}

/// A request that is to be answered with the token of this number, in the header and in the body.
fn request(front: &Target, variant: &Variant, number: usize) -> Request<Body> {
    let target = variant.steps(WAYS[number % WAYS.len()]);
    let mut request = front.request(Method::POST, &target, whole(token(number)));
    let value = HeaderValue::from_str(&token(number)).expect("it is plain");
    request.headers_mut().insert("x-token", value);
    request
}

/// So many clients, each on a connection of its own, or all on one, send so many requests each.
async fn crowd(fronts: Vec<Target>, variant: &Variant, each: usize) {
    let clients = fronts.into_iter().enumerate().map(async |(client, front)| {
        for number in client * each..(client + 1) * each {
            let reply = front.client.send(request(&front, variant, number)).await;
            assert_eq!(reply.status, 200, "{}: {reply:?}", variant.name);
            assert_eq!(reply.text(), token(number), "{}", variant.name);
        }
    });
    join_all(clients).await;
}

#[tokio::test]
async fn requests_one_after_another_on_one_connection_get_their_own_answers() {
    let wharf = variants::all(BUSY).await;
    for variant in VARIANTS {
        let connection = TcpStream::connect(wharf.front.addr).await;
        let connection = TokioIo::new(connection.expect("it listens"));
        let handshake = hyper::client::conn::http1::handshake(connection).await;
        let (mut client, connection) = handshake.expect("it speaks HTTP/1.1");
        tokio::spawn(connection);
        for number in 0..200 {
            let request = Request::post(variant.steps(WAYS[number % WAYS.len()]))
                .header("host", "x")
                .header("x-token", token(number))
                .body(Full::new(Bytes::from(token(number))))
                .expect("it is well formed");
            client.ready().await.expect("the connection is kept");
            let response = client.send_request(request).await.expect("it is answered");
            let body = response.into_body().collect().await.expect("it is whole");
            assert_eq!(body.to_bytes(), token(number), "{}", variant.name);
        }
        settled(&wharf, variant, 2).await;
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn requests_that_come_in_one_piece_are_answered_one_by_one() {
    let wharf = variants::all(BUSY).await;
    for variant in VARIANTS {
        let mut bytes = Vec::new();
        for number in 0..10 {
            let close = if number == 9 {
                "Connection: close\r\n"
            } else {
                ""
            };
            let (target, token) = (variant.steps(WAYS[number % WAYS.len()]), token(number));
            let length = token.len();
            bytes.extend_from_slice(
                format!(
                    "POST {target} HTTP/1.1\r\nHost: x\r\nX-Token: {token}\r\n{close}\
                     Content-Length: {length}\r\n\r\n{token}"
                )
                .as_bytes(),
            );
        }
        let mut connection = TcpStream::connect(wharf.front.addr)
            .await
            .expect("it listens");
        connection.write_all(&bytes).await.expect("it is open");
        let mut answer = Vec::new();
        let reading = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await;
        reading
            .expect("the server closes the connection")
            .expect("in good order");
        let expected: Vec<_> = (0..10).map(token).collect();
        assert_eq!(bodies(&answer), expected, "{}", variant.name);
        settled(&wharf, variant, 2).await;
    }
}

#[tokio::test]
async fn many_requests_at_once_on_one_connection_get_their_own_answers() {
    let wharf = variants::all(BUSY).await;
    for variant in VARIANTS {
        let front = wharf.front.http2();
        crowd(vec![front; 50], variant, 4).await;
        settled(&wharf, variant, 2).await;
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn many_clients_of_one_instance_get_their_own_answers() {
    let tables = format!("{BUSY}\n[instances]\ncount = 1\nconcurrency = 16");
    let wharf = variants::all(&tables).await;
    for variant in VARIANTS {
        let fronts = (0..50).map(|_| wharf.front.fresh()).collect();
        crowd(fronts, variant, 6).await;
        settled(&wharf, variant, 1).await;
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
        assert_eq!(wharf.count(variant.name, "sheds").await, 0);
    }
}

/// The bodies of responses that stand one behind the other.
fn bodies(mut bytes: &[u8]) -> Vec<String> {
    let mut bodies = Vec::new();
    while !bytes.is_empty() {
        let head = until(&mut bytes, b"\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let body = match length {
            Some(length) => take(&mut bytes, length.parse().expect("a length is a number")),
            None => chunks(&mut bytes),
        };
        bodies.push(String::from_utf8(body).expect("tokens are text"));
    }
    bodies
}

fn chunks(bytes: &mut &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let size = until(bytes, b"\r\n");
        let size = usize::from_str_radix(&size, 16).expect("a chunk has a size");
        body.extend(take(bytes, size));
        assert_eq!(until(bytes, b"\r\n"), "", "a chunk ends with its line");
        if size == 0 {
            return body;
        }
    }
}

fn take(bytes: &mut &[u8], count: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken.to_vec()
}

/// What comes before `end`, which is taken too.
fn until(bytes: &mut &[u8], end: &[u8]) -> String {
    let place = bytes.windows(end.len()).position(|window| window == end);
    let text = take(bytes, place.expect("the answer goes on"));
    take(bytes, end.len());
    String::from_utf8(text).expect("it is text")
}
