//! A guest that spins and one that is killed concern nobody but those whose requests they had.

use http::Method;
use wharf_tests::seen::same;
use wharf_tests::{Seen, Wharf, test_guest, wait_for, whole};

use crate::variants::{self, VARIANTS, Variant, fronts, marks, open_gate, pattern, settled};

const TWO: &str = "
    [instances]
    count = 2
    concurrency = 1
    [limits]
    timeout = '1h'
    queue_wait = '100s'
";

/// Sends a request in the background.
fn start(wharf: &Wharf, target: String) -> tokio::task::JoinHandle<Seen> {
    let front = wharf.front.fresh();
    tokio::spawn(async move { front.see_get(&target).await })
}

/// Waits until an instance of a service has a request, and gives back its name.
async fn busy(wharf: &Wharf, service: &str) -> String {
    wait_for("an instance had a request", || async {
        let service = wharf.service(service).await;
        let mut instances = service["instances"].as_array()?.iter();
        let busy = instances.find(|instance| instance["in_flight"] == 1)?;
        Some(busy["id"].as_str()?.to_owned())
    })
    .await
}

/// Any instance of a service.
async fn some(wharf: &Wharf, service: &str) -> String {
    let service = wharf.service(service).await;
    let id = service["instances"][0]["id"].as_str();
    id.expect("there is one").to_owned()
}

async fn kill(wharf: &Wharf, service: &str, id: &str) {
    let target = format!("/api/services/{service}/instances/{id}");
    let request = wharf.admin.request(Method::DELETE, &target, whole(""));
    assert_eq!(wharf.admin.client.send(request).await.status, 204);
}

async fn answers(wharf: &Wharf, variant: &Variant) {
    let reply = wharf.get(&variant.steps("head,write:1000,finish")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    same(&reply.body, &pattern(1000));
}

#[tokio::test]
async fn a_spinning_guest_keeps_nobody_waiting_even_on_one_processor() {
    let builder = Wharf::builder()
        .env("TOKIO_WORKER_THREADS", "1")
        .service("hello", test_guest("hello-one"));
    let wharf = variants::started(builder, TWO).await;
    for variant in VARIANTS {
        let before = start(&wharf, variant.steps("spin"));
        busy(&wharf, variant.name).await;
        for front in fronts(&wharf) {
            for _ in 0..10 {
                assert_eq!(front.get("/hello").await.text(), "one\n");
                let new = front.fresh();
                assert_eq!(new.get("/hello").await.text(), "one\n");
            }
        }
        for _ in 0..10 {
            answers(&wharf, variant).await;
        }
        assert!(!before.is_finished());
        before.abort();
        settled(&wharf, variant, 2).await;
    }
}

#[tokio::test]
async fn guests_that_spin_behind_their_heads_keep_nobody_waiting_even_on_one_processor() {
    let builder = Wharf::builder()
        .env("TOKIO_WORKER_THREADS", "1")
        .service("hello", test_guest("hello-one"));
    let wharf = variants::started(builder, TWO).await;
    let spinning: Vec<_> = VARIANTS
        .iter()
        .map(|variant| start(&wharf, variant.steps("head,write:10,flush,spin")))
        .collect();
    for variant in VARIANTS {
        busy(&wharf, variant.name).await;
    }
    for variant in VARIANTS {
        for _ in 0..10 {
            assert_eq!(wharf.get("/hello").await.text(), "one\n");
            answers(&wharf, variant).await;
        }
    }
    assert!(spinning.iter().all(|request| !request.is_finished()));
    for request in spinning {
        request.abort();
    }
    for variant in VARIANTS {
        settled(&wharf, variant, 2).await;
    }
}

#[tokio::test]
async fn an_instance_killed_while_it_waits_loses_no_request() {
    let wharf = variants::all(TWO).await;
    for variant in VARIANTS {
        let gate = format!("{}-gate", variant.name);
        let steps = format!("gate:{gate},head,write:1000,finish");
        let request = start(&wharf, variant.steps(&steps));
        kill(&wharf, variant.name, &busy(&wharf, variant.name).await).await;
        wharf.wait_exits(variant.name, "killed", 1).await;
        open_gate(&wharf, &gate).await;

        let reply = request.await.expect("it ends").whole();
        assert_eq!(reply.status, 200, "it was run again: {reply:?}");
        same(&reply.body, &pattern(1000));
        wharf.wait_count(variant.name, "replays", 1).await;
        settled(&wharf, variant, 2).await;
    }
}

#[tokio::test]
async fn an_instance_killed_after_an_effect_costs_its_request_and_no_more() {
    let wharf = variants::all(TWO).await;
    for variant in VARIANTS {
        for (number, then) in ["wait", "spin", "busy-gate:never"].into_iter().enumerate() {
            let mark = format!("{}-{number}", variant.name);
            let request = start(&wharf, variant.steps(&format!("mark:{mark},{then}")));
            wharf_tests::wait_until("it had its effect", || async {
                marks(&wharf, &mark).await == 1
            })
            .await;
            kill(&wharf, variant.name, &busy(&wharf, variant.name).await).await;
            request.await.expect("it ends").whole().problem(500);
            wharf.wait_exits(variant.name, "killed", number + 1).await;
            assert_eq!(marks(&wharf, &mark).await, 1, "it was not run again");
            settled(&wharf, variant, 2).await;
        }
        assert_eq!(wharf.count(variant.name, "replays").await, 0);
    }
}

#[tokio::test]
async fn an_instance_killed_while_it_spins_is_dead_at_once() {
    let wharf = variants::all(&format!("{TWO}\n[failover]\nreplay = 'never'")).await;
    for variant in VARIANTS {
        let request = start(&wharf, variant.steps("spin"));
        kill(&wharf, variant.name, &busy(&wharf, variant.name).await).await;
        request.await.expect("it ends").whole().problem(500);
        wharf.wait_exits(variant.name, "killed", 1).await;
        settled(&wharf, variant, 2).await;
    }
}

#[tokio::test]
async fn a_response_whose_instance_is_killed_is_broken_off() {
    let wharf = variants::all(TWO).await;
    for variant in VARIANTS {
        let mut dead = 0;
        for steps in [
            "head,write:1000,flush,wait",
            "head,write:1000,flush,spin",
            "length:2000,head,write:1000,flush,wait",
            "head,endless",
        ] {
            for front in fronts(&wharf) {
                let target = variant.steps(steps);
                let request = front.request(Method::GET, &target, whole(""));
                let client = front.client.fresh();
                let response = client.start(request).await.expect("the head comes");
                kill(&wharf, variant.name, &busy(&wharf, variant.name).await).await;
                let body = http_body_util::BodyExt::collect(response.into_body());
                let body = tokio::time::timeout(wharf_tests::PATIENCE, body).await;
                assert!(
                    body.expect("it ends").is_err(),
                    "{steps}: half an answer passed for a whole one"
                );
                dead += 1;
                wharf.wait_exits(variant.name, "killed", dead).await;
                wharf.wait_healthy(variant.name, 2).await;
            }
        }
        settled(&wharf, variant, 2).await;
        assert_eq!(wharf.count(variant.name, "replays").await, 0);
    }
}

#[tokio::test]
async fn an_instance_killed_while_it_is_idle_is_replaced() {
    let wharf = variants::all("[instances]\ncount = 1").await;
    for variant in VARIANTS {
        for killed in 1..=3 {
            let id = some(&wharf, variant.name).await;
            kill(&wharf, variant.name, &id).await;
            // it waits for the new one if need be
            answers(&wharf, variant).await;
            wharf.wait_exits(variant.name, "killed", killed).await;
            wharf.wait_healthy(variant.name, 1).await;
            assert_ne!(some(&wharf, variant.name).await, id);
        }
        settled(&wharf, variant, 1).await;
    }
}
