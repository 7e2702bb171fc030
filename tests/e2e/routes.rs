//! Which service a request belongs to.

use http::HeaderValue;
use http::Method;
use wharf_tests::{Wharf, test_guest, whole};

use crate::fault;

/// The text that comes back for a path on a host.
async fn on(wharf: &Wharf, host: &str, path: &str) -> String {
    let mut request = wharf.front.request(Method::GET, path, whole(""));
    let host = HeaderValue::from_str(host).expect("a plain host");
    request.headers_mut().insert(http::header::HOST, host);
    wharf.front.client.send(request).await.text()
}

#[tokio::test]
async fn a_path_that_no_service_has_gets_404() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    for path in ["/", "/nobody", "/hell", "/helloo", "/HELLO", "//hello"] {
        wharf.get(path).await.problem(404);
    }
}

#[tokio::test]
async fn the_longest_route_wins() {
    let wharf = Wharf::builder()
        .service("outer", test_guest("hello-one"))
        .manifest("outer", "routes = ['/api']")
        .service("inner", test_guest("hello-two"))
        .manifest("inner", "routes = ['/api/v2']")
        .start()
        .await;
    for (path, expected) in [
        ("/api", "one\n"),
        ("/api/v1", "one\n"),
        ("/api/v22", "one\n"),
        ("/api/v2", "two\n"),
        ("/api/v2/users?page=1", "two\n"),
    ] {
        assert_eq!(wharf.get(path).await.text(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_route_may_name_a_host() {
    let wharf = Wharf::builder()
        .service("anywhere", test_guest("hello-one"))
        .manifest("anywhere", "routes = ['/']")
        .service("there", test_guest("hello-two"))
        .manifest("there", "routes = ['api.example.com/', '*.example.org/v1']")
        .start()
        .await;
    for (host, path, expected) in [
        ("api.example.com", "/", "two\n"),
        ("API.Example.com:8080", "/any/thing", "two\n"),
        ("example.com", "/", "one\n"),
        ("deep.down.example.org", "/v1/x", "two\n"),
        ("deep.down.example.org", "/v2", "one\n"),
        ("example.org", "/v1", "one\n"),
    ] {
        assert_eq!(on(&wharf, host, path).await, expected, "{host}{path}");
    }
}

#[tokio::test]
async fn the_guest_sees_the_target_as_it_came() {
    let wharf = Wharf::with_manifest("fault", fault(), "routes = ['/a']").await;
    for target in [
        "/a/b%2Fc/..%2e/request?x=%20y&x=2",
        "/a//request?",
        "/a/%7Euser/request",
    ] {
        let seen = wharf.get(target).await.json();
        assert_eq!(seen["target"], target);
        assert_eq!(seen["method"], "GET");
    }
}

#[tokio::test]
async fn a_service_may_have_several_routes() {
    let manifest = "routes = ['/a', '/b/c', '= /exact']";
    let wharf = Wharf::with_manifest("hello", test_guest("hello-one"), manifest).await;
    for path in ["/a", "/a/x", "/b/c", "/exact"] {
        assert_eq!(wharf.get(path).await.status, 200, "{path}");
    }
    for path in ["/hello", "/b", "/exact/x"] {
        wharf.get(path).await.problem(404);
    }
    let service = wharf.service("hello").await;
    assert_eq!(
        service["routes"].as_array().map(Vec::len),
        Some(3),
        "{service}"
    );
}
