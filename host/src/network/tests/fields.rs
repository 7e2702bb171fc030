//! Tricks with what a request says: method, target, fields, and framing.

use bytes::Bytes;
use futures::stream;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};

use super::super::{Denial, NetworkError, Timeouts};
use super::support::{Peer, World, grants, text, world};

const URI: &str = "http://api.example/";

fn api() -> World {
    world(&[("api.example", &["1.1.1.1"])])
}

impl World {
    async fn say<B>(&self, request: Request<B>) -> Result<String, NetworkError>
    where
        B: http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
    {
        let grants = grants(&["http://api.example"]);
        let sent = self.network.send(request, &grants, Timeouts::default());
        Ok(text(sent.await?).await)
    }

    async fn with(&self, fields: &[(&str, &str)]) -> Result<String, NetworkError> {
        let mut request = Request::post(URI);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.say(request.body(Full::from("hello")).unwrap()).await
    }
}

#[tokio::test]
async fn a_host_field_that_disagrees_is_replaced() {
    let heard = api().with(&[("host", "evil.example")]).await.unwrap();
    assert!(heard.contains("host: api.example\n"), "{heard}");
    assert!(!heard.contains("evil"), "{heard}");
    let two = [("host", "evil.example"), ("host", "api.example")];
    let heard = api().with(&two).await.unwrap();
    assert_eq!(heard.matches("host:").count(), 1, "{heard}");
}

#[tokio::test]
async fn a_host_field_has_the_port_only_if_it_is_not_the_default() {
    let world = api();
    let grants = ["http://api.example", "http://api.example:8080"];
    let heard = world.get("http://api.example:80/", &grants).await.unwrap();
    assert!(heard.contains("host: api.example\n"), "{heard}");
    let heard = world
        .get("http://api.example:8080/", &grants)
        .await
        .unwrap();
    assert!(heard.contains("host: api.example:8080\n"), "{heard}");
}

#[tokio::test]
async fn fields_of_the_connection_are_dropped() {
    let heard = api()
        .with(&[
            ("connection", "close, x-hop, content-length"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=9"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "secret"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("te", "gzip"),
            ("x-kept", "1"),
        ])
        .await
        .unwrap();
    let lines: Vec<&str> = heard.lines().skip(1).collect();
    assert_eq!(
        lines,
        ["x-kept: 1", "host: api.example", "content-length: 5", "+5"],
    );
    let heard = api().with(&[("te", "trailers")]).await.unwrap();
    assert!(heard.contains("te: trailers\n"), "{heard}");
}

#[tokio::test]
async fn the_transfer_coding_is_the_hosts_to_choose() {
    let heard = api().with(&[("transfer-encoding", "chunked")]).await;
    let heard = heard.unwrap();
    assert!(heard.contains("content-length: 5\n"), "{heard}");
    assert!(!heard.contains("transfer-encoding"), "{heard}");
    for coding in ["gzip", "gzip, chunked", "chunked, chunked", "xchunked", ""] {
        assert_eq!(
            api().with(&[("transfer-encoding", coding)]).await,
            Err(Denial::TransferCoding.into()),
            "{coding}"
        );
    }
}

#[tokio::test]
async fn an_upgrade_is_refused() {
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    assert_eq!(api().with(&upgrade).await, Err(Denial::Upgrade.into()));
    assert_eq!(
        api().with(&[("upgrade", "h2c")]).await,
        Err(Denial::Upgrade.into())
    );
}

#[tokio::test]
async fn a_server_that_switches_protocols_unasked_is_given_up() {
    let world = api();
    world.peer(
        "1.1.1.1",
        Peer::Says("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    );
    assert_eq!(world.with(&[]).await, Err(NetworkError::Upgraded));
}

#[tokio::test]
async fn connect_is_refused() {
    for method in ["CONNECT", "connect", "Connect"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request::builder().method(method).uri(URI);
        assert_eq!(
            api().say(request.body(Empty::new()).unwrap()).await,
            Err(Denial::Connect.into())
        );
    }
}

#[tokio::test]
async fn a_content_length_that_is_not_the_bodys_is_refused() {
    for (declared, actual) in [(6, 5), (4, 5), (0, 5)] {
        assert_eq!(
            api()
                .with(&[("content-length", &declared.to_string())])
                .await,
            Err(NetworkError::RequestBodySize { declared, actual })
        );
    }
    // No body at all, and a server that waits for one, and takes the next request for it
    let request = Request::get(URI).header("content-length", "40");
    assert_eq!(
        api().say(request.body(Empty::new()).unwrap()).await,
        Err(NetworkError::RequestBodySize {
            declared: 40,
            actual: 0
        })
    );
}

#[tokio::test]
async fn a_content_length_of_which_servers_think_differently_is_refused() {
    for lengths in [
        &["5", "5"][..],
        &["5", "6"],
        &["5, 5"],
        &["+5"],
        &["0x5"],
        &[" "],
        &["99999999999999999999"],
    ] {
        let fields: Vec<_> = lengths.iter().map(|l| ("content-length", *l)).collect();
        assert_eq!(
            api().with(&fields).await,
            Err(Denial::ContentLength.into()),
            "{lengths:?}"
        );
    }
}

#[tokio::test]
async fn a_stream_shorter_than_its_content_length_ends_the_connection() {
    let world = api();
    let parts = stream::iter([Ok(Frame::data(Bytes::from_static(b"hello")))]);
    let request = Request::post(URI)
        .header("content-length", "9")
        .body(StreamBody::new(parts))
        .unwrap();
    let short = world.say(request).await;
    assert!(
        // The server is left with half a body, and says so if it is faster
        matches!(short, Err(NetworkError::ConnectionTerminated) | Ok(_)),
        "{short:?}"
    );
    world.with(&[]).await.unwrap();
    assert_eq!(world.dialled().len(), 2);
}

#[tokio::test]
async fn a_target_that_could_be_read_as_another_host_is_refused() {
    for path in [
        "http://evil.example/",
        "@evil.example/",
        ".evil.example/",
        ":81/",
        "x",
        "*",
    ] {
        // Newer versions of `http` can't be made to write some of these
        let Ok(path) = path.parse::<PathAndQuery>() else {
            continue;
        };
        let mut parts = URI.parse::<http::Uri>().unwrap().into_parts();
        parts.path_and_query = Some(path.clone());
        let Ok(uri) = http::Uri::from_parts(parts) else {
            continue;
        };
        let error = api()
            .say(Request::get(uri).body(Empty::new()).unwrap())
            .await;
        assert!(matches!(error, Err(NetworkError::UriInvalid(_))), "{path}");
    }
}

#[tokio::test]
async fn the_target_is_a_path_with_a_slash() {
    for (uri, target) in [
        ("http://api.example", "/"),
        ("http://api.example?a=b", "/?a=b"),
        ("http://api.example/a?b=//c#d", "/a?b=//c"),
        ("http://api.example//evil.example/", "//evil.example/"),
        (
            "http://api.example/http://evil.example/",
            "/http://evil.example/",
        ),
    ] {
        let heard = api().get(uri, &["http://api.example"]).await.unwrap();
        assert!(
            heard.starts_with(&format!("GET {target} HTTP/1.1\n")),
            "{heard}"
        );
    }
    let mut parts = URI.parse::<http::Uri>().unwrap().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static("*"));
    let request = Request::options(http::Uri::from_parts(parts).unwrap());
    let heard = api()
        .say(request.body(Empty::new()).unwrap())
        .await
        .unwrap();
    assert!(heard.starts_with("OPTIONS * HTTP/1.1\n"), "{heard}");
}

#[tokio::test]
async fn line_breaks_can_not_be_written_into_a_field() {
    for value in ["a\r\nx: b", "a\nx: b", "a\rx: b", "a\0b"] {
        assert!(HeaderValue::from_str(value).is_err());
    }
    assert!(Method::from_bytes(b"GET / HTTP/1.1\r\nx:").is_err());
    assert!("/a\r\nx: b".parse::<PathAndQuery>().is_err());
}

#[tokio::test]
async fn a_redirect_is_handed_on_and_not_followed() {
    let world = api();
    world.peer(
        "1.1.1.1",
        Peer::Says(
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9000/\r\ncontent-length: 0\r\n\r\n",
        ),
    );
    let granted = grants(&["http://api.example", "http://127.0.0.1:9000"]);
    let request = Request::get(URI).body(Empty::<Bytes>::new()).unwrap();
    let sent = world.network.send(request, &granted, Timeouts::default());
    let response = sent.await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "http://127.0.0.1:9000/");
    assert_eq!(world.dialled(), ["1.1.1.1:80"]);
}

#[tokio::test]
async fn fields_of_the_servers_connection_do_not_reach_the_guest() {
    let world = api();
    world.peer(
        "1.1.1.1",
        Peer::Says(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: keep-alive, x-hop\r\n\
             keep-alive: timeout=5\r\nx-hop: 1\r\nx-kept: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
    );
    let granted = grants(&["http://api.example"]);
    let request = Request::get(URI).body(Empty::<Bytes>::new()).unwrap();
    let sent = world.network.send(request, &granted, Timeouts::default());
    let response = sent.await.unwrap();
    let names: Vec<_> = response
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    assert_eq!(names, ["x-kept"]);
    assert_eq!(text(response).await, "hi");
}

#[tokio::test]
async fn a_response_that_is_no_http_or_breaks_off_says_so() {
    let huge: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(70_000)).into_boxed_str());
    for (says, expected) in [
        ("HTTP/9.9 what\r\n\r\n", "Protocol"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "Protocol"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "Protocol",
        ),
        (huge, "ResponseHead"),
        ("HTTP/1.1 200 OK\r\n", "ConnectionTerminated"),
        ("", "ConnectionTerminated"),
    ] {
        let world = api();
        world.peer("1.1.1.1", Peer::SaysOnce(says));
        let request = Request::get(URI).body(Empty::new()).unwrap();
        let error = format!("{:?}", world.say(request).await.unwrap_err());
        assert!(error.starts_with(expected), "{error}: {says:.40}");
    }
    for (says, expected) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi",
            "ResponseIncomplete",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi",
            "ResponseIncomplete",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
            "Protocol",
        ),
    ] {
        let world = api();
        world.peer("1.1.1.1", Peer::SaysOnce(says));
        let granted = grants(&["http://api.example"]);
        let request = Request::get(URI).body(Empty::<Bytes>::new()).unwrap();
        let sent = world.network.send(request, &granted, Timeouts::default());
        let body = sent.await.unwrap().into_body().collect().await;
        let error = format!("{:?}", body.unwrap_err());
        assert!(error.starts_with(expected), "{error}: {says:.80}");
    }
}

#[tokio::test]
async fn a_guests_body_that_breaks_off_is_told_from_a_servers() {
    let world = api();
    let parts = stream::iter([
        Ok(Frame::data(Bytes::from_static(b"hello"))),
        Err(std::io::Error::other("trapped")),
    ]);
    let request = Request::post(URI).body(StreamBody::new(parts)).unwrap();
    let granted = grants(&["http://api.example"]);
    let sent = world.network.send(request, &granted, Timeouts::default());
    assert_eq!(
        sent.await.map(|_| ()),
        Err(NetworkError::RequestBody("trapped".to_owned()))
    );
}
