//! HTTP/1.1 and HTTP/2 in front, bodies that stream both ways, trailers, and clients of all paces.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use wharf_tests::{Held, Target, Wharf, streamed, test_guest, whole};

use crate::{fault, fault_p3};

const LARGE: &str = "[limits]\nrequest_body = 'unlimited'\ntimeout = '100s'";

/// One server with both generations, and both versions of HTTP to ask them.
async fn all_four() -> (Wharf, Vec<(Target, &'static str)>) {
    let wharf = Wharf::builder()
        .service("two", fault())
        .manifest("two", LARGE)
        .service("three", fault_p3())
        .manifest("three", LARGE)
        .start()
        .await;
    let http2 = wharf.front.http2();
    let mut ways = Vec::new();
    for front in [wharf.front.clone(), http2] {
        ways.push((front.clone(), "/two"));
        ways.push((front, "/three"));
    }
    (wharf, ways)
}

/// A body that is sent by a task of its own, in that many parts.
fn parts(
    count: usize,
    part: impl Into<Bytes>,
    trailers: Option<HeaderMap>,
) -> wharf_tests::client::Body {
    let (body, frames) = mpsc::channel(4);
    let part = part.into();
    tokio::spawn(async move {
        for _ in 0..count {
            // Nobody listens once the request is over, for whatever reason.
            if body.send(Frame::data(part.clone())).await.is_err() {
                return;
            }
        }
        if let Some(trailers) = trailers {
            let _over = body.send(Frame::trailers(trailers)).await;
        }
    });
    streamed(frames)
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_spoken() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    let http2 = wharf.front.http2();
    let request = http2.request(Method::GET, "/hello", whole(""));
    let response = http2.client.start(request).await.expect("it is answered");
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(response.status(), 200);
    let replies = crate::all_at_once(&http2, "/hello", 100).await;
    wharf_tests::Tally::of(replies).only(200);
}

#[tokio::test]
async fn the_first_part_of_a_body_comes_back_before_the_second_is_sent() {
    let (_wharf, ways) = all_four().await;
    for (front, service) in ways {
        let mut held = Held::open(&front, &format!("{service}/echo")).await;
        for part in ["one", "two", "three"] {
            held.exchange(part).await;
        }
        held.release().await;
    }
}

#[tokio::test]
async fn a_big_body_streams_down() {
    let (_wharf, ways) = all_four().await;
    for (front, service) in ways {
        let target = format!("{service}/big?bytes=50000000");
        let request = front.request(Method::GET, &target, whole(""));
        let mut body = front
            .client
            .start(request)
            .await
            .expect("it is answered")
            .into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.unwrap_or_else(|error| panic!("{service} after {bytes}: {error:?}"));
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        assert_eq!(bytes, 50_000_000, "{service}");
    }
}

#[tokio::test]
async fn a_big_body_streams_up() {
    let (_wharf, ways) = all_four().await;
    for (front, service) in ways {
        let body = parts(600, vec![1; 50_000], None);
        let request = front.request(Method::POST, &format!("{service}/sum"), body);
        let reply = front.client.send(request).await;
        let expected = serde_json::json!({ "bytes": 30_000_000, "sum": 30_000_000 });
        assert_eq!(reply.json(), expected, "{service}");
    }
}

#[tokio::test]
async fn a_big_body_streams_both_ways_at_once() {
    let (_wharf, ways) = all_four().await;
    for (front, service) in ways {
        let body = parts(400, vec![b'z'; 50_000], None);
        let request = front.request(Method::POST, &format!("{service}/echo"), body);
        let reply = front.client.send(request).await;
        assert_eq!(reply.body.len(), 20_000_000, "{service}");
        assert!(reply.body.iter().all(|byte| *byte == b'z'), "{service}");
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (_wharf, ways) = all_four().await;
    for (front, service) in ways {
        let mut trailers = HeaderMap::new();
        let name = HeaderName::from_static("x-checksum");
        trailers.insert(&name, HeaderValue::from_static("12345"));
        let body = parts(3, "part ", Some(trailers));
        let mut request = front.request(Method::POST, &format!("{service}/echo"), body);
        let headers = request.headers_mut();
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("trailer", HeaderValue::from_static("x-checksum"));
        let reply = front.client.send(request).await;
        assert_eq!(reply.text(), "part part part ", "{service}");
        let trailers = reply.trailers.as_ref();
        let checksum = trailers.and_then(|trailers| trailers.get(&name));
        assert_eq!(
            checksum.map(HeaderValue::as_bytes),
            Some(&b"12345"[..]),
            "{service}: {reply:?}"
        );
    }
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let (_wharf, ways) = all_four().await;
    for (front, service) in ways {
        let request = front.request(Method::HEAD, &format!("{service}/hello"), whole(""));
        let reply = front.client.send(request).await;
        assert_eq!(reply.status, 200, "{service}");
        assert_eq!(reply.text(), "", "{service}");
    }
}

#[tokio::test]
async fn a_request_body_beyond_the_limit_is_refused() {
    let manifest = "[limits]\nrequest_body = '1KiB'";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    for version in [Target::clone, Target::http2] {
        // A connection of its own each time: a refusal may end one.
        let fresh = || version(&Target::new(wharf.front.addr));
        let within = fresh().post("/fault/sum", vec![1; 1024]).await;
        assert_eq!(within.json()["bytes"], 1024);
        fresh().post("/fault/sum", vec![1; 1025]).await.problem(413);

        // Without a length beforehand, it is found out on the way.
        let front = fresh();
        let body = parts(100, vec![1; 1024], None);
        let request = front.request(Method::POST, "/fault/sum", body);
        front.client.send(request).await.problem(413);
        assert_eq!(fresh().get("/fault/hello").await.status, 200);
    }
    let broken = wharf.state("fault").await == "broken";
    assert!(!broken, "that is no fault of the guest's");
}

#[tokio::test]
async fn clients_that_send_slowly_keep_nobody_waiting() {
    let wharf = Wharf::with("fault", fault()).await;
    let mut slow = Vec::new();
    for number in 0..100 {
        let mut connection = TcpStream::connect(wharf.front.addr)
            .await
            .expect("it listens");
        let start: &[u8] = match number % 3 {
            0 => b"G",
            1 => b"GET /fault/hello HTTP/1.1\r\nHost: x\r\nX-Slow",
            _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        };
        connection.write_all(start).await.expect("it is open");
        slow.push(connection);
    }
    for _ in 0..20 {
        assert_eq!(wharf.get("/fault/hello").await.status, 200);
    }
}

#[tokio::test]
async fn clients_that_read_slowly_keep_nobody_waiting() {
    let manifest = "[instances]\ncount = 3\n[limits]\ntimeout = '100s'";
    let wharf = Wharf::builder()
        .service("fault", fault())
        .manifest("fault", manifest)
        .service("hello", test_guest("hello-one"))
        .start()
        .await;
    let mut unread = Vec::new();
    for _ in 0..2 {
        let request = wharf
            .front
            .request(Method::GET, "/fault/big?bytes=500000000", whole(""));
        unread.push(
            wharf
                .front
                .client
                .start(request)
                .await
                .expect("it is answered"),
        );
    }
    for _ in 0..20 {
        assert_eq!(wharf.get("/hello").await.text(), "one\n", "another service");
        assert_eq!(
            wharf.get("/fault/hello").await.status,
            200,
            "another instance"
        );
    }
}

#[tokio::test]
async fn a_response_may_come_before_the_request_has_ended() {
    let (_wharf, ways) = all_four().await;
    for (front, service) in ways {
        let (body, frames) = mpsc::channel(1);
        let request = front.request(Method::POST, &format!("{service}/hello"), streamed(frames));
        let reply = front.client.send(request).await;
        assert_eq!(reply.text(), "hello\n", "{service}");
        drop(body);
    }
}
