//! Peers and guests that take their time.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use super::super::{Network, NetworkError, Settings, Timeouts};
use super::support::{Peer, World, get, grants, text, world};

const URI: &str = "http://api.example/";

fn api(peer: Peer) -> World {
    let world = world(&[("api.example", &["1.1.1.1"])]);
    world.peer("1.1.1.1", peer);
    world
}

impl World {
    async fn wait<B>(&self, request: Request<B>, timeouts: Timeouts) -> (Duration, NetworkError)
    where
        B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let granted = grants(&["http://api.example", "http://unknown.example"]);
        let start = Instant::now();
        let sent = self.network.send(request, &granted, timeouts).await;
        (start.elapsed(), sent.map(|_| ()).unwrap_err())
    }
}

fn seconds(elapsed: Duration) -> u64 {
    elapsed.as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_come_is_given_up() {
    let world = api(Peer::Silent);
    let (elapsed, error) = world.wait(get(URI), Timeouts::default()).await;
    assert_eq!(error, NetworkError::ConnectionTimeout);
    assert_eq!(seconds(elapsed), 10);
    for (asked, waited) in [(3, 3), (45, 45), (3600, 60)] {
        let timeouts = Timeouts {
            connect: Some(Duration::from_secs(asked)),
            ..Timeouts::default()
        };
        let (elapsed, error) = world.wait(get(URI), timeouts).await;
        assert_eq!(error, NetworkError::ConnectionTimeout);
        assert_eq!(seconds(elapsed), waited);
    }
}

#[tokio::test(start_paused = true)]
async fn tls_that_does_not_come_is_given_up() {
    let world = api(Peer::Mute);
    let granted = grants(&["https://api.example"]);
    let request = get("https://api.example/");
    let sent = world.network.send(request, &granted, Timeouts::default());
    assert_eq!(sent.await.map(|_| ()), Err(NetworkError::ConnectionTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_does_not_end_is_given_up() {
    let world = api(Peer::Echo);
    let request = get("http://unknown.example/");
    let (elapsed, error) = world.wait(request, Timeouts::default()).await;
    assert_eq!(error, NetworkError::DnsTimeout);
    assert_eq!(seconds(elapsed), 5);
}

#[tokio::test(start_paused = true)]
async fn lookups_that_do_not_end_are_in_the_way_of_their_own_partition_only() {
    let world = api(Peer::Echo);
    let granted = grants(&["http://api.example", "http://*.unknown.example"]);
    let ask = |network: &Network, host: String| {
        let (network, granted) = (network.clone(), granted.clone());
        async move {
            let request = get(&format!("http://{host}/"));
            let sent = network.send(request, &granted, Timeouts::default()).await;
            sent.map(|_| ())
        }
    };
    let unknown = (0..16).map(|n| ask(&world.network, format!("{n}.unknown.example")));
    for ended in futures::future::join_all(unknown).await {
        assert_eq!(ended, Err(NetworkError::DnsTimeout));
    }
    let known = || "api.example".to_owned();
    let blocked = ask(&world.network, known()).await;
    assert_eq!(blocked, Err(NetworkError::DnsTimeout));
    assert_eq!(ask(&world.network.partition(), known()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_given_up() {
    let world = api(Peer::Mute);
    let (elapsed, error) = world.wait(get(URI), Timeouts::default()).await;
    assert_eq!(error, NetworkError::ReadTimeout);
    assert_eq!(seconds(elapsed), 60);
    for asked in [0, 7, 200] {
        let timeouts = Timeouts {
            first_byte: Some(Duration::from_secs(asked)),
            ..Timeouts::default()
        };
        let (elapsed, error) = world.wait(get(URI), timeouts).await;
        assert_eq!(error, NetworkError::ReadTimeout);
        assert_eq!(seconds(elapsed), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_taking_the_body_is_given_up() {
    let world = api(Peer::Mute);
    let parts = stream::repeat(Bytes::from_static(&[0; 1000])).map(|part| Ok(Frame::data(part)));
    let request = Request::post(URI).body(StreamBody::new(parts)).unwrap();
    let (elapsed, error) = world.wait(request, Timeouts::default()).await;
    assert_eq!(error, NetworkError::WriteTimeout);
    assert_eq!(seconds(elapsed), 60);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_takes_its_time_with_the_body_is_not_the_peers_fault() {
    let world = api(Peer::Echo);
    for patience in [None, Some(Duration::from_secs(1))] {
        let parts = stream::iter(0..10).then(|_| async {
            sleep(Duration::from_mins(2)).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"hello")))
        });
        let request = Request::post(URI)
            .body(StreamBody::new(Box::pin(parts)))
            .unwrap();
        let granted = grants(&["http://api.example"]);
        let timeouts = Timeouts {
            first_byte: patience,
            ..Timeouts::default()
        };
        let sent = world.network.send(request, &granted, timeouts);
        let heard = text(sent.await.unwrap()).await;
        assert!(heard.ends_with("+50\n"), "{heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_no_length_is_not_spent_looking_all_the_time() {
    let world = api(Peer::Mute);
    let parts = stream::iter(0..1).then(|_| async {
        sleep(Duration::from_secs(2)).await;
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"hello")))
    });
    let request = Request::post(URI)
        .body(StreamBody::new(Box::pin(parts)))
        .unwrap();
    let timeouts = Timeouts {
        first_byte: Some(Duration::ZERO),
        ..Timeouts::default()
    };
    let (elapsed, error) = world.wait(request, timeouts).await;
    // Either before the body was asked for, or after it was sent
    assert!(elapsed == Duration::ZERO || seconds(elapsed) == 2);
    assert!(matches!(
        error,
        NetworkError::ReadTimeout | NetworkError::WriteTimeout
    ));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_head_begins_when_the_body_is_sent() {
    let world = api(Peer::Mute);
    let parts = stream::iter(0..2).then(|_| async {
        sleep(Duration::from_secs(50)).await;
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"hello")))
    });
    let request = Request::post(URI)
        .body(StreamBody::new(Box::pin(parts)))
        .unwrap();
    let (elapsed, error) = world.wait(request, Timeouts::default()).await;
    assert_eq!(error, NetworkError::ReadTimeout);
    assert_eq!(seconds(elapsed), 160);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_given_up() {
    let world = api(Peer::Says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi"));
    let granted = grants(&["http://api.example"]);
    for (asked, waited) in [(None, 60), (Some(3), 3), (Some(0), 0)] {
        let timeouts = Timeouts {
            between_bytes: asked.map(Duration::from_secs),
            ..Timeouts::default()
        };
        let sent = world.network.send(get(URI), &granted, timeouts);
        let mut body = sent.await.unwrap().into_body();
        let part = body.frame().await.unwrap().unwrap();
        assert_eq!(part.into_data().unwrap(), "hi");
        let start = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error, NetworkError::ReadTimeout);
        assert_eq!(seconds(start.elapsed()), waited);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_slowly_but_comes_is_read_to_its_end() {
    let world = api(Peer::Drips);
    let granted = grants(&["http://api.example"]);
    let sent = world.network.send(get(URI), &granted, Timeouts::default());
    assert_eq!(text(sent.await.unwrap()).await, "xxxx");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_takes_its_time_to_read_is_not_the_peers_fault() {
    let world = api(Peer::Echo);
    let granted = grants(&["http://api.example"]);
    let sent = world.network.send(get(URI), &granted, Timeouts::default());
    let response = sent.await.unwrap();
    sleep(Duration::from_hours(1)).await;
    assert!(text(response).await.starts_with("GET / "));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_closes_its_connection() {
    let world = api(Peer::Mute);
    let granted = grants(&["http://api.example"]);
    let request = Request::post(URI).body(Full::from("hello")).unwrap();
    let sent = world.network.send(request, &granted, Timeouts::default());
    assert!(
        tokio::time::timeout(Duration::from_secs(1), sent)
            .await
            .is_err()
    );
    let mut far = world.wire.held.lock().pop().unwrap();
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert!(heard.starts_with(b"POST / HTTP/1.1\r\n"));
}

#[tokio::test(start_paused = true)]
async fn absurd_timeouts_are_no_trouble() {
    let world = api(Peer::Echo);
    let granted = grants(&["http://api.example"]);
    let timeouts = Timeouts {
        connect: Some(Duration::MAX),
        first_byte: Some(Duration::MAX),
        between_bytes: Some(Duration::MAX),
    };
    let request = Request::get(URI).body(Empty::<Bytes>::new()).unwrap();
    let sent = world.network.send(request, &granted, timeouts);
    assert!(text(sent.await.unwrap()).await.starts_with("GET / "));
    assert!(Settings::default().idle < Duration::from_mins(1));
}
