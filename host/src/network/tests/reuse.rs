//! Connections that are used again, and those that must not be.

use std::time::Duration;

use super::super::{Network, NetworkError, Settings, Timeouts};
use super::support::{Peer, Server, get, grants, text, world, world_with};

#[tokio::test]
async fn requests_one_after_another_share_a_connection() {
    let server = Server::start(None).await;
    let network = Network::new(Settings::default()).unwrap();
    let origin = format!("http://127.0.0.1:{}", server.port);
    let granted = grants(&[&origin]);
    for n in 0..5 {
        let uri = format!("{origin}/{n}");
        let sent = network.send(get(&uri), &granted, Timeouts::default());
        let heard = text(sent.await.unwrap()).await;
        assert!(
            heard.starts_with(&format!("GET /{n} HTTP/1.1\n")),
            "{heard}"
        );
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn clones_share_connections_and_partitions_do_not() {
    let server = Server::start(None).await;
    let network = Network::new(Settings::default()).unwrap();
    let origin = format!("http://localhost:{}", server.port);
    let granted = grants(&[&origin]);
    for (network, accepted) in [
        (network.clone(), 1),
        (network.clone(), 1),
        (network.partition(), 2),
        (network, 2),
    ] {
        let sent = network.send(get(&origin), &granted, Timeouts::default());
        text(sent.await.unwrap()).await;
        assert_eq!(server.accepted(), accepted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_on_several_threads_share_connections() {
    let server = Server::start(None).await;
    let network = Network::new(Settings::default()).unwrap();
    let origin = format!("http://127.0.0.1:{}", server.port);
    let tasks = (0..8).map(|_| {
        let (network, origin) = (network.clone(), origin.clone());
        tokio::spawn(async move {
            let granted = grants(&[&origin]);
            for _ in 0..16 {
                let sent = network.send(get(&origin), &granted, Timeouts::default());
                text(sent.await.unwrap()).await;
            }
        })
    });
    for ended in futures::future::join_all(tasks).await {
        ended.unwrap();
    }
    // Each had one of its own at most, and now and then one that was on its way when another
    // came free
    assert!(server.accepted() < 64, "{}", server.accepted());
}

#[tokio::test]
async fn a_grant_is_asked_for_even_if_a_connection_is_open() {
    let world = world(&[("api.example", &["1.1.1.1"])]);
    let uri = "http://api.example/";
    world.get(uri, &["http://api.example"]).await.unwrap();
    let error = world.get(uri, &[]).await.unwrap_err();
    assert!(matches!(error, NetworkError::Denied(_)), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_is_replaced() {
    let world = world(&[("api.example", &["1.1.1.1"])]);
    world.peer(
        "1.1.1.1",
        Peer::SaysOnce("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
    );
    for _ in 0..3 {
        let heard = world
            .get("http://api.example/", &["http://api.example"])
            .await;
        assert_eq!(heard.as_deref(), Ok("hi"));
    }
    assert_eq!(world.dialled().len(), 3);
}

#[tokio::test]
async fn other_ports_schemes_and_names_have_other_connections() {
    let world = world(&[("a.example", &["1.1.1.1"]), ("b.example", &["1.1.1.1"])]);
    for origin in [
        "http://a.example",
        "http://a.example:81",
        "http://b.example",
    ] {
        let uri = format!("{origin}/");
        world.get(&uri, &[origin]).await.unwrap();
        world.get(&uri, &[origin]).await.unwrap();
    }
    assert_eq!(world.dialled(), ["1.1.1.1:80", "1.1.1.1:81", "1.1.1.1:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_closed() {
    let world = world(&[("api.example", &["1.1.1.1"])]);
    let ask = || world.get("http://api.example/", &["http://api.example"]);
    ask().await.unwrap();
    tokio::time::advance(Duration::from_secs(20)).await;
    ask().await.unwrap();
    assert_eq!(world.dialled().len(), 1);
    tokio::time::advance(Duration::from_secs(31)).await;
    ask().await.unwrap();
    assert_eq!(world.dialled().len(), 2);
}

#[tokio::test]
async fn only_so_many_idle_connections_are_kept_for_a_host() {
    let settings = Settings {
        idle_per_host: 1,
        ..Settings::default()
    };
    let world = world_with(&[("api.example", &["1.1.1.1"])], settings);
    let ask = || world.get("http://api.example/", &["http://api.example"]);
    let all = futures::future::join_all((0..4).map(|_| ask())).await;
    assert!(all.iter().all(Result::is_ok));
    let opened = world.dialled().len();
    assert!(opened > 1);
    let pair = futures::future::join(ask(), ask()).await;
    assert!(pair.0.is_ok() && pair.1.is_ok());
    assert!(world.dialled().len() > opened);
}

#[tokio::test]
async fn a_partition_opens_only_so_many_connections() {
    let settings = Settings {
        connections: 2,
        ..Settings::default()
    };
    let world = world_with(&[("api.example", &["1.1.1.1"])], settings);
    world.peer(
        "1.1.1.1",
        Peer::Says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"),
    );
    let granted = grants(&["http://api.example"]);
    let ask = |network: Network| {
        let granted = granted.clone();
        async move {
            let request = get("http://api.example/");
            network.send(request, &granted, Timeouts::default()).await
        }
    };
    // Two responses that don't end hold two connections
    let first = ask(world.network.clone()).await.unwrap();
    let second = ask(world.network.clone()).await.unwrap();
    assert_eq!(
        ask(world.network.clone()).await.map(|_| ()),
        Err(NetworkError::ConnectionLimit)
    );
    assert!(ask(world.network.partition()).await.is_ok());
    drop((first, second));
    // They are closed by tasks of their own
    loop {
        match ask(world.network.clone()).await {
            Ok(_) => break,
            Err(error) => assert_eq!(error, NetworkError::ConnectionLimit),
        }
        tokio::task::yield_now().await;
    }
}
