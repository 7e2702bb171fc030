//! Several addresses for one name.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::super::dial::order;
use super::super::{NetworkError, Settings};
use super::support::{Peer, World, world, world_with};

const API: &[&str] = &["http://api.example"];
const URI: &str = "http://api.example/";

/// Each request needs a connection of its own.
fn fresh(addresses: &[&str]) -> World {
    let settings = Settings {
        idle_per_host: 0,
        ..Settings::default()
    };
    world_with(&[("api.example", addresses)], settings)
}

fn order_of(addresses: &[&str], seed: u64) -> Vec<String> {
    let addresses = addresses.iter().map(|ip| ip.parse().unwrap());
    let addresses = addresses.map(|ip| SocketAddr::new(ip, 80)).collect();
    order(addresses, &mut SmallRng::seed_from_u64(seed))
        .iter()
        .map(|address| address.ip().to_string())
        .collect()
}

#[test]
fn families_take_turns_and_each_is_shuffled() {
    let addresses = ["2606::1", "2606::2", "2606::3", "1.1.1.1", "1.1.1.2"];
    let mut firsts = HashSet::new();
    for seed in 0..64 {
        let ordered = order_of(&addresses, seed);
        let families: Vec<bool> = ordered.iter().map(|ip| ip.contains(':')).collect();
        assert_eq!(families, [true, false, true, false, true]);
        let all: HashSet<&str> = ordered.iter().map(String::as_str).collect();
        assert_eq!(all.len(), 5);
        firsts.insert(ordered[0].clone());
    }
    assert_eq!(firsts.len(), 3);
    assert_eq!(order_of(&["1.1.1.1", "2606::1"], 1), ["1.1.1.1", "2606::1"]);
    assert_eq!(order_of(&[], 1), [""; 0]);
}

#[tokio::test]
async fn connections_spread_over_the_addresses() {
    let world = fresh(&["1.1.1.1", "1.1.1.2", "1.1.1.3"]);
    for _ in 0..64 {
        world.get(URI, API).await.unwrap();
    }
    let dialled = world.dialled();
    assert_eq!(dialled.len(), 64);
    assert_eq!(dialled.iter().collect::<HashSet<_>>().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_fails_is_passed_over_at_once() {
    let world = fresh(&["1.1.1.1", "1.1.1.2", "1.1.1.3"]);
    world.peer("1.1.1.1", Peer::Fails(ErrorKind::ConnectionRefused));
    world.peer("1.1.1.2", Peer::Fails(ErrorKind::HostUnreachable));
    let start = Instant::now();
    for _ in 0..32 {
        world.get(URI, API).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(world.dialled().len() > 32);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_does_not_answer_costs_a_moment() {
    let world = fresh(&["1.1.1.1", "1.1.1.2"]);
    world.peer("1.1.1.1", Peer::Silent);
    for _ in 0..32 {
        let start = Instant::now();
        world.get(URI, API).await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(300));
    }
    assert!(world.dialled().contains(&"1.1.1.1:80".to_owned()));
}

#[tokio::test]
async fn if_all_addresses_fail_the_error_is_the_one_that_says_most() {
    let world = world(&[("api.example", &["2606::1", "1.1.1.1"])]);
    world.peer("2606::1", Peer::Fails(ErrorKind::NetworkUnreachable));
    world.peer("1.1.1.1", Peer::Fails(ErrorKind::ConnectionRefused));
    assert_eq!(
        world.get(URI, API).await,
        Err(NetworkError::ConnectionRefused)
    );
    world.peer("1.1.1.1", Peer::Fails(ErrorKind::HostUnreachable));
    assert_eq!(world.get(URI, API).await, Err(NetworkError::IpUnroutable));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_addresses_are_tried() {
    let many: Vec<String> = (1..=100).map(|n| format!("1.1.1.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let world = fresh(&many);
    for ip in &many {
        world.peer(ip, Peer::Silent);
    }
    assert_eq!(
        world.get(URI, API).await,
        Err(NetworkError::ConnectionTimeout)
    );
    assert_eq!(world.dialled().len(), 8);
}
