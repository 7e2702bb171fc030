//! Tricks with where a request goes: how it is written, and what it resolves to.

use super::super::{NetworkError, Settings};
use super::support::{Peer, World, world, world_with};

const API: &[&str] = &["http://api.example"];

fn api() -> World {
    world(&[
        ("api.example", &["1.1.1.1"]),
        ("evil.example", &["6.6.6.6"]),
    ])
}

#[tokio::test]
async fn a_user_before_the_host_is_refused() {
    for uri in [
        "http://user@api.example/",
        "http://user:password@api.example/",
        "http://api.example@evil.example/",
        "http://api.example:80@evil.example/",
        "http://@api.example/",
    ] {
        api().never_leaves(uri, API).await;
    }
}

#[tokio::test]
async fn another_port_than_the_granted_one_is_refused() {
    for uri in ["http://api.example:8080/", "http://api.example:443/"] {
        api().never_leaves(uri, API).await;
    }
    api()
        .never_leaves("http://api.example/", &["http://api.example:8080"])
        .await;
}

#[tokio::test]
async fn a_port_that_is_none_is_not_the_default() {
    for port in ["65616", "99999", "0", "+80", "", "80:80", "080x", "-1"] {
        let uri = format!("http://api.example:{port}/");
        api().never_leaves(&uri, API).await;
    }
}

#[tokio::test]
async fn another_scheme_than_the_granted_one_is_refused() {
    for uri in [
        "https://api.example/",
        "https://api.example:80/",
        "ftp://api.example/",
        "ws://api.example/",
        "file://api.example/",
        "/path",
        "api.example:80",
    ] {
        api().never_leaves(uri, API).await;
    }
}

#[tokio::test]
async fn other_spellings_of_a_granted_name_are_the_same_host() {
    let world = api();
    for uri in [
        "http://api.example",
        "http://API.Example/",
        "HTTP://api.example:80/",
        "http://api.example./",
        "http://API.EXAMPLE.:80/",
    ] {
        let heard = world.get(uri, API).await.unwrap();
        assert!(heard.starts_with("GET / "), "{heard}");
        assert!(heard.contains("host: api.example\n"), "{heard}");
    }
    // one name to the resolver, one connection for all
    assert_eq!(*world.names.asked.lock(), ["api.example"]);
    assert_eq!(world.dialled(), ["1.1.1.1:80"]);
}

#[tokio::test]
async fn percent_encoding_in_a_host_is_refused() {
    for uri in [
        "http://%61pi.example/",
        "http://api%2eexample/",
        "http://api.example%2eevil.example/",
        "http://api.example%00.evil.example/",
        "http://api.example%2f.evil.example/",
        "http://api.example%40evil.example/",
        "http://api.example%3a80/",
    ] {
        api()
            .never_leaves(uri, &["http://api.example", "http://*.evil.example"])
            .await;
    }
}

#[tokio::test]
async fn other_ways_to_write_an_ipv4_address_are_refused() {
    for host in [
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7f.0.0.1",
        "0x7F000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.1..",
        "127.0.0.1.0",
        "１２７.0.0.1",
        "127。0。0。1",
    ] {
        let uri = format!("http://{host}/");
        world(&[])
            .never_leaves(&uri, &["http://127.0.0.1", "http://localhost"])
            .await;
    }
}

#[tokio::test]
async fn zone_ids_are_refused() {
    for uri in [
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[fe80::1%1]/",
        "http://[::1%lo]/",
    ] {
        world(&[])
            .never_leaves(uri, &["http://[fe80::1]", "http://[::1]"])
            .await;
    }
}

#[tokio::test]
async fn brackets_around_what_is_no_ipv6_address_are_refused() {
    for uri in [
        "http://[api.example]/",
        "http://[127.0.0.1]/",
        "http://[::1].evil.example/",
        "http://[v1.x]/",
        "http://[]/",
    ] {
        world(&[])
            .never_leaves(
                uri,
                &["http://api.example", "http://127.0.0.1", "http://[::1]"],
            )
            .await;
    }
}

#[tokio::test]
async fn a_host_without_end_is_refused() {
    for uri in [
        format!("http://{}api.example/", "a.".repeat(200)),
        format!("http://{}/", "a".repeat(60_000)),
    ] {
        let granted = ["http://*.api.example"];
        api().never_leaves(&uri, &granted).await;
        let error = api().get(&uri, &granted).await.unwrap_err();
        // Nor does it fill the log
        assert!(error.to_string().len() < 100, "{error}");
    }
}

#[tokio::test]
async fn an_empty_host_is_refused() {
    for uri in ["http:///", "http://:80/", "http://./", "http://.:80/"] {
        api().never_leaves(uri, API).await;
    }
}

#[tokio::test]
async fn white_space_and_control_characters_in_a_host_are_refused() {
    for between in [" ", "\t", "\r\n", "\0", "\u{a0}", "\u{200b}", "\u{ad}"] {
        for uri in [
            format!("http://{between}api.example/"),
            format!("http://api.example{between}/"),
            format!("http://api.example{between}.evil.example/"),
        ] {
            api().never_leaves(&uri, API).await;
        }
    }
}

#[tokio::test]
async fn names_that_only_look_alike_are_refused() {
    // a Cyrillic letter, a full-width full stop, and the punycode of the former
    for host in [
        "аpi.example",
        "api．example",
        "xn--pi-7kc.example",
        "äpi.example",
    ] {
        let uri = format!("http://{host}/");
        api().never_leaves(&uri, API).await;
    }
    let punycode = world(&[("xn--pi-7kc.example", &["1.1.1.1"])]);
    punycode
        .get("http://XN--pi-7kc.example/", &["http://xn--pi-7kc.example"])
        .await
        .unwrap();
}

#[tokio::test]
async fn backslashes_and_the_like_do_not_end_a_host() {
    for uri in [
        "http://evil.example\\.api.example/",
        "http://evil.example\\@api.example/",
        "http://evil.example;api.example/",
        "http://evil.example,api.example/",
        "http://evil.example&api.example/",
    ] {
        api().never_leaves(uri, API).await;
    }
    // A fragment is no part of what is sent, so this one is for the granted host
    let world = api();
    let uri = "http://api.example#@evil.example/";
    world.get(uri, API).await.unwrap();
    assert_eq!(world.dialled(), ["1.1.1.1:80"]);
}

#[tokio::test]
async fn a_wildcard_can_not_be_asked_for() {
    let world = world(&[("*.api.example", &["1.1.1.1"])]);
    let uri = "http://*.api.example/";
    world.never_leaves(uri, &["http://*.api.example"]).await;
    // Granted it is, in a way
    let error = world.get(uri, &["http://*.api.example"]).await;
    assert!(
        matches!(error, Err(NetworkError::UriInvalid(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_name_of_a_wildcard_and_its_neighbours_are_refused() {
    for uri in [
        "http://api.example/",
        "http://evilapi.example/",
        "http://x.api.example.evil.example/",
    ] {
        api().never_leaves(uri, &["http://*.api.example"]).await;
    }
}

#[tokio::test]
async fn a_granted_name_is_no_grant_for_its_address_nor_the_other_way_round() {
    api().never_leaves("http://1.1.1.1/", API).await;
    api()
        .never_leaves("http://api.example/", &["http://1.1.1.1"])
        .await;
    world(&[])
        .never_leaves("http://localhost/", &["http://127.0.0.1"])
        .await;
    world(&[])
        .never_leaves("http://127.0.0.1/", &["http://localhost"])
        .await;
    world(&[])
        .never_leaves("http://[::ffff:127.0.0.1]/", &["http://127.0.0.1"])
        .await;
}

#[tokio::test]
async fn a_granted_name_that_resolves_to_no_decent_place_is_not_dialled() {
    for ip in [
        "127.0.0.1",
        "127.0.1.1",
        "::1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "192.0.2.1",
        "240.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
    ] {
        world(&[("api.example", &[ip])])
            .is_prohibited("http://api.example/", API)
            .await;
    }
}

#[tokio::test]
async fn of_a_mix_of_addresses_only_the_decent_ones_are_dialled() {
    let world = world(&[(
        "api.example",
        &["127.0.0.1", "1.1.1.1", "169.254.169.254", "::1"],
    )]);
    // Even when the decent one fails
    world.peer(
        "1.1.1.1",
        Peer::Fails(std::io::ErrorKind::ConnectionRefused),
    );
    assert_eq!(
        world.get("http://api.example/", API).await,
        Err(NetworkError::ConnectionRefused)
    );
    assert_eq!(world.dialled(), ["1.1.1.1:80"]);
}

#[tokio::test]
async fn a_name_that_is_rebound_is_checked_again_with_each_connection() {
    let world = world(&[("api.example", &["1.1.1.1"])]);
    world.answer("api.example", &["127.0.0.1"]);
    world.peer(
        "1.1.1.1",
        Peer::SaysOnce("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
    );
    world.get("http://api.example/", API).await.unwrap();
    let error = world.get("http://api.example/", API).await.unwrap_err();
    assert!(
        matches!(error, NetworkError::IpProhibited { .. }),
        "{error:?}"
    );
    // There was never a second lookup between a check and a dial
    assert_eq!(world.names.asked.lock().len(), 2);
    assert_eq!(world.dialled(), ["1.1.1.1:80"]);
}

#[tokio::test]
async fn a_name_may_lead_into_the_house_but_a_wildcard_may_not() {
    for ip in ["10.0.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"] {
        let house = || world(&[("db.corp.example", &[ip])]);
        let uri = "http://db.corp.example/";
        house().get(uri, &["http://db.corp.example"]).await.unwrap();
        house().is_prohibited(uri, &["http://*.corp.example"]).await;
        // The very name counts, whichever stands first
        let both = ["http://*.corp.example", "http://db.corp.example"];
        house().get(uri, &both).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_into_the_house_is_not_found_by_a_wildcard() {
    let world = world(&[("db.corp.example", &["10.0.0.1"])]);
    let uri = "http://db.corp.example/";
    world.get(uri, &["http://db.corp.example"]).await.unwrap();
    let wildcard = world.get(uri, &["http://*.corp.example"]).await;
    assert!(
        matches!(wildcard, Err(NetworkError::IpProhibited { .. })),
        "{wildcard:?}"
    );
    // It is there all the same, for those who may use it
    world.get(uri, &["http://db.corp.example"]).await.unwrap();
    assert_eq!(world.dialled(), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn localhost_is_this_machine_whatever_a_resolver_says() {
    let world = world(&[("localhost", &["6.6.6.6"]), ("a.localhost", &["6.6.6.6"])]);
    let grants = ["http://localhost:8081", "http://a.localhost:8081"];
    world.get("http://localhost:8081/", &grants).await.unwrap();
    world.get("http://LOCALHOST.:8081/", &grants).await.unwrap();
    world
        .get("http://a.localhost:8081/", &grants)
        .await
        .unwrap();
    assert_eq!(world.dialled(), ["127.0.0.1:8081"; 2]);
    assert_eq!(*world.names.asked.lock(), [""; 0]);
}

#[tokio::test]
async fn a_wildcard_below_localhost_does_not_reach_this_machine() {
    world(&[("a.localhost", &["127.0.0.1"])])
        .is_prohibited("http://a.localhost/", &["http://*.localhost"])
        .await;
}

#[tokio::test]
async fn a_literal_address_is_dialled_whatever_it_is() {
    let world = world(&[]);
    for (grant, address) in [
        ("http://127.0.0.1:8081", "127.0.0.1:8081"),
        ("http://[::1]:8081", "[::1]:8081"),
        ("http://169.254.169.254", "169.254.169.254:80"),
        ("http://10.0.0.1", "10.0.0.1:80"),
        ("http://[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]:80"),
    ] {
        world.get(&format!("{grant}/"), &[grant]).await.unwrap();
        assert_eq!(world.dialled_now(), [address]);
    }
    assert_eq!(*world.names.asked.lock(), [""; 0]);
}

#[tokio::test]
async fn the_hosts_own_listeners_are_reached_by_their_literal_address_only() {
    let own = || {
        let settings = Settings {
            listeners: vec![
                "127.0.0.1:9000".parse().unwrap(),
                "[::1]:9000".parse().unwrap(),
                "127.0.0.1:9001".parse().unwrap(),
                "10.0.0.1:8080".parse().unwrap(),
            ],
            ..Settings::default()
        };
        world_with(&[("front.corp.example", &["10.0.0.1"])], settings)
    };
    for origin in [
        "http://localhost:9000",
        "http://a.localhost:9000",
        "http://0.0.0.0:9000",
        "http://[::ffff:127.0.0.1]:9000",
        "http://front.corp.example:8080",
    ] {
        own().is_prohibited(&format!("{origin}/"), &[origin]).await;
    }
    for origin in [
        "http://127.0.0.1:9000",
        "http://[::1]:9000",
        "http://front.corp.example:8081",
    ] {
        own().get(&format!("{origin}/"), &[origin]).await.unwrap();
    }
    // Where only one of two addresses is a listener's, the other is a place like any
    let world = own();
    let origin = "http://localhost:9001";
    world.get(&format!("{origin}/"), &[origin]).await.unwrap();
    assert_eq!(world.dialled(), ["[::1]:9001"]);
}

#[tokio::test]
async fn a_name_without_addresses_or_without_an_answer_says_so() {
    let world = world(&[("api.example", &[])]);
    assert_eq!(
        world.get("http://api.example/", API).await,
        Err(NetworkError::DestinationNotFound)
    );
}

#[tokio::test]
async fn the_systems_resolver_knows_this_machine() {
    use super::super::resolve::{Resolve, SystemResolver};
    let addresses = SystemResolver::new().resolve("localhost").await.unwrap();
    assert!(addresses.iter().all(std::net::IpAddr::is_loopback));
    assert!(!addresses.is_empty());
}
