//! Requests that RFC 9112 says to refuse are refused, byte for byte, and cost nobody else anything.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wharf_tests::{PATIENCE, Wharf};

use crate::{fault, fault_p3};

/// A server that closes no connection for mere idleness: what is closed was refused.
async fn server() -> Wharf {
    let config = "[http]\nidle_timeout = '1h'";
    Wharf::builder()
        .service("fault", fault())
        .config(config)
        .start()
        .await
}

/// Sends raw bytes and reads until the server closes the connection.
async fn raw(wharf: &Wharf, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(wharf.front.addr)
        .await
        .expect("it listens");
    // The server may have seen enough before all is sent.
    let _enough = connection.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await;
    // A reset behind the answer is the server's way to say that it read no further.
    let _reset = reading.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asserts that these bytes get this status and no other answer.
async fn refused(wharf: &Wharf, bytes: &[u8], status: u16) {
    let answer = raw(wharf, bytes).await;
    let sent = String::from_utf8_lossy(bytes);
    let sent = &sent[..sent.len().min(200)];
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{sent:?} got {answer:?}"
    );
    assert_eq!(
        answer.matches("HTTP/1.1 ").count(),
        1,
        "one answer to {sent:?}: {answer:?}"
    );
}

#[tokio::test]
async fn a_request_with_two_ideas_of_its_length_is_refused() {
    let wharf = server().await;
    let smuggled = "GET /fault/trap HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 5 5",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: xchunked",
    ] {
        let bytes =
            format!("POST /fault/sum HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n0\r\n\r\n{smuggled}");
        let answer = raw(&wharf, bytes.as_bytes()).await;
        let status: u16 = answer
            .get(9..12)
            .and_then(|code| code.parse().ok())
            .unwrap_or_default();
        assert!([400, 501].contains(&status), "{head:?} got {answer:?}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{head:?} got {answer:?}"
        );
    }
    assert_eq!(
        wharf.count("fault", "exits").await,
        0,
        "no smuggled request reached the guest"
    );
}

#[tokio::test]
async fn a_request_with_both_a_length_and_chunks_is_refused() {
    let wharf = server().await;
    for head in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let bytes = format!(
            "POST /fault/sum HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n0\r\n\r\n\
             GET /fault/trap HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        refused(&wharf, bytes.as_bytes(), 400).await;
    }
    assert_eq!(
        wharf.count("fault", "exits").await,
        0,
        "no smuggled request reached the guest"
    );
}

#[tokio::test]
async fn a_refused_connection_carries_no_second_request() {
    let wharf = server().await;
    let bytes = b"GET /fault/hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n\
        GET /fault/trap HTTP/1.1\r\nHost: x\r\n\r\n";
    refused(&wharf, bytes, 400).await;
    assert_eq!(wharf.count("fault", "exits").await, 0);
}

#[tokio::test]
async fn a_transfer_coding_that_is_not_spoken_is_refused() {
    let wharf = server().await;
    let bytes = b"POST /fault/sum HTTP/1.1\r\nHost: x\r\n\
        Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    refused(&wharf, bytes, 501).await;
}

#[tokio::test]
async fn a_request_without_exactly_one_host_is_refused() {
    let wharf = server().await;
    for head in [
        "",
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
    ] {
        let bytes = format!("GET /fault/hello HTTP/1.1\r\n{head}\r\n");
        refused(&wharf, bytes.as_bytes(), 400).await;
    }
}

#[tokio::test]
async fn a_head_whose_lines_end_in_a_bare_line_feed_is_refused() {
    let wharf = server().await;
    for bytes in [
        &b"GET /fault/hello HTTP/1.1\nHost: x\n\n"[..],
        b"GET /fault/hello HTTP/1.1\r\nHost: x\r\nX-A: 1\nX-B: 2\r\n\r\n",
    ] {
        refused(&wharf, bytes, 400).await;
    }
}

#[tokio::test]
async fn a_malformed_head_is_refused() {
    let wharf = server().await;
    for bytes in [
        &b"GET /fault/hello HTTP/1.1\r\nHost: x\r\nX A: 1\r\n\r\n"[..],
        b"GET /fault/hello HTTP/1.1\r\nHost: x\r\nX-A : 1\r\n\r\n",
        b"GET /fault/hello HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n folded\r\n\r\n",
        b"GET /fault/hello HTTP/1.1\r\nHost: x\r\nX-A: \0\r\n\r\n",
        b"GET /fault/he llo HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G\x00T /fault/hello HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03 a TLS client hello\r\n\r\n",
    ] {
        refused(&wharf, bytes, 400).await;
    }
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
}

#[tokio::test]
async fn a_head_beyond_its_limits_is_refused() {
    let config = "[http]\nmax_header_bytes = '8KiB'\nmax_headers = 50";
    let wharf = Wharf::builder()
        .service("fault", fault())
        .config(config)
        .start()
        .await;
    let long = format!(
        "GET /fault/hello HTTP/1.1\r\nHost: x\r\nX-A: {}\r\n\r\n",
        "a".repeat(20_000)
    );
    refused(&wharf, long.as_bytes(), 431).await;
    let many = format!(
        "GET /fault/hello HTTP/1.1\r\nHost: x\r\n{}",
        "X-A: 1\r\n".repeat(60)
    );
    refused(&wharf, format!("{many}\r\n").as_bytes(), 431).await;
    let target = format!(
        "GET /fault/{} HTTP/1.1\r\nHost: x\r\n\r\n",
        "a".repeat(20_000)
    );
    let answer = raw(&wharf, target.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer:?}");
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_let_go() {
    let config = "[http]\nheader_timeout = '300ms'\nidle_timeout = '300ms'";
    let wharf = Wharf::builder()
        .service("fault", fault())
        .config(config)
        .start()
        .await;
    for start in [
        "",
        "G",
        "GET /fault/hello HTTP/1.1\r\nHost: x\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let answer = raw(&wharf, start.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.contains("408") || !answer.contains("200"),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_chunked_body_that_is_malformed_never_passes_for_whole() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with("fault", component).await;
        for body in [
            "zz\r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5;\0\r\nhello\r\n0\r\n\r\n",
        ]
        .repeat(3)
        {
            let bytes = format!(
                "POST /fault/sum HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
            );
            let answer = raw(&wharf, bytes.as_bytes()).await;
            assert!(
                answer.starts_with("HTTP/1.1 400"),
                "{body:?} got {answer:?}"
            );
        }
        assert_ne!(
            wharf.state("fault").await,
            "broken",
            "clients open no breaker"
        );
        assert_eq!(wharf.get("/fault/hello").await.status, 200);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_never_passes_for_whole() {
    let wharf = server().await;
    let mut connection = TcpStream::connect(wharf.front.addr)
        .await
        .expect("it listens");
    let bytes = b"POST /fault/sum HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this";
    connection.write_all(bytes).await.expect("it is open");
    connection.shutdown().await.expect("it is open");
    let mut answer = String::new();
    let reading = tokio::time::timeout(PATIENCE, connection.read_to_string(&mut answer)).await;
    let _reset = reading.expect("the server closes the connection");
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
    wharf.wait_healthy("fault", 2).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let wharf = server().await;
    let bytes = b"GET /fault/status?code=201 HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /fault/status?code=202 HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /fault/status?code=203 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = raw(&wharf, bytes).await;
    let places: Vec<_> = ["201", "202", "203"]
        .iter()
        .map(|code| answer.find(&format!("HTTP/1.1 {code} ")))
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let wharf = server().await;
    let mut connection = TcpStream::connect(wharf.front.addr)
        .await
        .expect("it listens");
    let head = b"POST /fault/sum HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
        Content-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    connection.write_all(head).await.expect("it is open");
    let mut asked = [0; 12];
    let reading = tokio::time::timeout(PATIENCE, connection.read_exact(&mut asked)).await;
    reading.expect("it answers").expect("it answers");
    assert_eq!(&asked, b"HTTP/1.1 100");
    connection.write_all(b"abc").await.expect("it is open");
    let mut answer = String::new();
    connection
        .read_to_string(&mut answer)
        .await
        .expect("it answers");
    assert!(answer.contains("\"bytes\":3"), "{answer:?}");
}

#[tokio::test]
async fn http_1_0_is_served() {
    let wharf = server().await;
    let answer = raw(&wharf, b"GET /fault/hello HTTP/1.0\r\nHost: x\r\n\r\n").await;
    assert!(
        answer.contains(" 200 ") && answer.ends_with("hello\n"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn what_concerns_one_connection_only_stays_out_of_the_guest() {
    let wharf = server().await;
    let bytes = b"GET /fault/request HTTP/1.1\r\nHost: x\r\nConnection: close, x-private\r\n\
        X-Private: secret\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nX-Public: seen\r\n\r\n";
    let answer = raw(&wharf, bytes).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    let seen = answer.to_lowercase();
    assert!(seen.contains("x-public"), "{answer}");
    for name in [
        "\"connection\"",
        "keep-alive",
        "proxy-connection",
        "x-private",
    ] {
        let body = seen.split("\r\n\r\n").nth(1).unwrap_or_default();
        assert!(!body.contains(name), "the guest saw {name}: {answer}");
    }
}

#[tokio::test]
async fn a_clients_own_request_id_is_used_unless_it_is_nonsense() {
    let wharf = server().await;
    let with_id = async |id: &str| {
        let bytes = format!(
            "GET /nobody HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: {id}\r\n\r\n"
        );
        raw(&wharf, bytes.as_bytes()).await
    };
    let answer = with_id("abc-123.DEF").await;
    assert!(answer.contains("x-request-id: abc-123.DEF\r\n"), "{answer}");
    let answer = with_id("<script>").await;
    assert!(
        answer.contains("x-request-id: ") && !answer.contains("script"),
        "{answer}"
    );
}
