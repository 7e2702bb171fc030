//! What was acknowledged survives the server's sudden death.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tokio::task::JoinSet;
use wharf_tests::{Target, Wharf, guest, wait_until};

use crate::{counter, fault};

const ROUNDS: u64 = 20;
const WORKERS: u64 = 8;

/// Registrations of one round that got 201: the name, and with which password.
type Acknowledged = BTreeMap<String, String>;

/// Registers one name after the other until the server dies. Each name is wanted by two workers.
async fn register_until_death(
    front: Target,
    round: u64,
    worker: u64,
    acks: Arc<AtomicU64>,
) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for number in 0.. {
        let name = format!("user-{round}-{}-{number}", worker / 2);
        let password = format!("the password of worker {worker}");
        let body = json!({ "username": name, "password": password });
        let Ok(reply) = front.try_post_json("/register", &body).await else {
            break;
        };
        match reply.status.as_u16() {
            201 => {
                acknowledged.insert(name, password);
                acks.fetch_add(1, Ordering::Relaxed);
            }
            409 => {}
            _ => panic!("neither created nor taken: {reply:?}"),
        }
    }
    acknowledged
}

#[tokio::test]
async fn twenty_kills_under_registrations_lose_nothing_and_give_no_name_twice() {
    let manifest = |grants: &str| {
        format!(
            "
            [instances]
            count = 4
            [limits]
            timeout = '100s'
            queue_wait = '100s'
            [grants]
            {grants}
            "
        )
    };
    let login = manifest("keyvalue = ['sessions']\nservices = ['accounts']");
    let mut wharf = Wharf::builder()
        .service("accounts", guest("accounts"))
        .manifest("accounts", &manifest("keyvalue = ['accounts']"))
        .service("register", guest("register"))
        .manifest("register", &manifest("services = ['accounts']"))
        .service("login", guest("login"))
        .manifest("login", &login)
        .start()
        .await;
    let mut all = Acknowledged::new();
    for round in 0..ROUNDS {
        let acks = Arc::new(AtomicU64::new(0));
        let mut workers: JoinSet<_> = (0..WORKERS)
            .map(|worker| {
                // Connections of their own: a kill breaks each at a different point of its request.
                let front = Target::new(wharf.front.addr);
                register_until_death(front, round, worker, Arc::clone(&acks))
            })
            .collect();
        // Round by round the blow falls at another moment.
        let enough = 1 + round % 5;
        wait_until("some registrations were acknowledged", || async {
            acks.load(Ordering::Relaxed) >= enough
        })
        .await;
        wharf.kill9();
        while let Some(acknowledged) = workers.join_next().await {
            for (name, password) in acknowledged.expect("no worker panicked") {
                let twice = all.insert(name.clone(), password);
                assert_eq!(twice, None, "two callers were told that {name} is theirs");
            }
        }
        wharf.restart().await;
    }

    assert!(all.len() as u64 >= ROUNDS, "{} registrations", all.len());
    for (name, password) in &all {
        let again = json!({ "username": name, "password": "somebody else's password" });
        let again = wharf.front.post_json("/register", &again).await;
        assert_eq!(
            again.status, 409,
            "{name} was acknowledged, then given away: {again:?}"
        );
        let body = json!({ "username": name, "password": password });
        let login = wharf.front.post_json("/login", &body).await;
        assert_eq!(
            login.status, 200,
            "{name} was acknowledged, then lost: {login:?}"
        );
    }
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_to_a_kill() {
    let manifest = "[instances]\ncount = 4\n[grants]\nkeyvalue = ['counts']";
    let mut wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let (sent, acks) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for round in 1..=5 {
        let mut workers: JoinSet<_> = (0..4)
            .map(|_| {
                let (front, sent, acks) = (
                    Target::new(wharf.front.addr),
                    Arc::clone(&sent),
                    Arc::clone(&acks),
                );
                async move {
                    let target = "/fault/kv?op=increment&bucket=counts&key=n";
                    loop {
                        sent.fetch_add(1, Ordering::Relaxed);
                        match front.try_post(target, "").await {
                            Ok(reply) if reply.status == 200 => {
                                assert!(reply.json()["ok"].is_number(), "{reply:?}");
                                acks.fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(reply) => panic!("neither counted nor dead: {reply:?}"),
                            Err(_dead) => break,
                        }
                    }
                }
            })
            .collect();
        let goal = acks.load(Ordering::Relaxed) + 10 * round;
        wait_until("some writes were acknowledged", || async {
            acks.load(Ordering::Relaxed) >= goal
        })
        .await;
        wharf.kill9();
        while let Some(worker) = workers.join_next().await {
            worker.expect("no worker panicked");
        }
        wharf.restart().await;

        let count = counter(&wharf, "fault", "counts", "n").await.unsigned_abs();
        let (sent, acks) = (sent.load(Ordering::Relaxed), acks.load(Ordering::Relaxed));
        assert!(count >= acks, "{acks} were acknowledged, {count} are there");
        assert!(count <= sent, "{sent} were sent, {count} are there");
    }
}
