//! Services that want more processors than there are get parts of them by their weights, however many
//! requests each has.

use http::Method;
use wharf_tests::{Wharf, test_guest, wait_until, whole};

use crate::variants::{self, VARIANTS};
use crate::{fault, fault_p3};

/// So much processor time together is measured: many times that of a turn.
const SECONDS: f64 = 4.0;

/// Lets a service spin in that many of its instances.
async fn spin(wharf: &Wharf, service: &str, action: &str, instances: u64) {
    for _ in 0..instances {
        let (front, target) = (wharf.front.fresh(), format!("/{service}/{action}"));
        tokio::spawn(async move { drop(front.try_get(&target).await) });
    }
    wharf.wait_in_flight(service, instances).await;
}

async fn cpu(wharf: &Wharf, service: &str) -> f64 {
    let service = wharf.service(service).await;
    let seconds = service["counts"]["cpu_seconds"].as_f64();
    seconds.unwrap_or_else(|| panic!("no such count: {service}"))
}

/// What two services use from now on, until it is enough, the first's by the second's.
async fn ratio(wharf: &Wharf, one: &str, other: &str) -> f64 {
    let begin = (cpu(wharf, one).await, cpu(wharf, other).await);
    let used = async || {
        (
            cpu(wharf, one).await - begin.0,
            cpu(wharf, other).await - begin.1,
        )
    };
    wait_until("they had used enough", || async {
        let (one, other) = used().await;
        one + other >= SECONDS
    })
    .await;
    let (one, other) = used().await;
    one / other
}

fn manifest(weight: u32, instances: u64) -> String {
    format!(
        "weight = {weight}\n[instances]\ncount = {instances}\nconcurrency = 1\n[limits]\ntimeout = '1h'"
    )
}

/// A server on two processors. Both services spin as soon as they are asked to.
async fn server(heavy: (u32, u64), light: (u32, u64)) -> Wharf {
    Wharf::builder()
        .env("TOKIO_WORKER_THREADS", "2")
        .service("heavy", fault())
        .manifest("heavy", &manifest(heavy.0, heavy.1))
        .service("light", fault_p3())
        .manifest("light", &manifest(light.0, light.1))
        .service("hello", test_guest("hello-one"))
        .start()
        .await
}

#[tokio::test]
async fn flooded_services_get_processor_time_by_their_weights() {
    let wharf = server((30, 6), (10, 6)).await;
    spin(&wharf, "heavy", "spin", 6).await;
    spin(&wharf, "light", "spin", 6).await;
    let ratio = ratio(&wharf, "heavy", "light").await;
    assert!((2.5..3.6).contains(&ratio), "3 was expected, not {ratio}");
}

#[tokio::test]
async fn a_flooded_service_leaves_others_the_processors_that_are_theirs() {
    let wharf = server((10, 12), (10, 1)).await;
    spin(&wharf, "heavy", "spin", 12).await;
    spin(&wharf, "light", "spin", 1).await;
    let ratio = ratio(&wharf, "heavy", "light").await;
    assert!((0.8..1.25).contains(&ratio), "1 was expected, not {ratio}");
    for _ in 0..50 {
        let reply = wharf.get("/hello").await;
        assert_eq!((reply.status.as_u16(), &*reply.text()), (200, "one\n"));
    }
}

#[tokio::test]
async fn a_new_weight_counts_without_a_restart() {
    let wharf = server((10, 6), (10, 6)).await;
    wharf.rename_in("heavy.toml", manifest(40, 6).as_bytes());
    wharf.wait_count("heavy", "deploys", 2).await;
    spin(&wharf, "heavy", "spin", 6).await;
    spin(&wharf, "light", "spin", 6).await;
    let ratio = ratio(&wharf, "heavy", "light").await;
    assert!((3.2..4.9).contains(&ratio), "4 was expected, not {ratio}");
}

#[tokio::test]
async fn what_a_called_service_uses_is_its_own() {
    let wharf = Wharf::builder()
        .service("caller", fault())
        .manifest("caller", "[grants]\nservices = ['called']")
        .service("called", fault())
        .start()
        .await;
    let work = "http://called.internal/called/steps?do=work:300,head,finish";
    let work = work
        .replace(':', "%3A")
        .replace('?', "%3F")
        .replace('=', "%3D");
    let reply = wharf.get(&format!("/caller/outbound?url={work}")).await;
    assert_eq!(reply.json()["status"], 200, "{reply:?}");
    let (own, called) = (cpu(&wharf, "caller").await, cpu(&wharf, "called").await);
    assert!(called > 0.05 && called > 2.0 * own, "{own} {called}");
    let metrics = wharf.metrics().await;
    assert!(
        metrics.contains("wharf_guest_cpu_seconds_total{service=\"called\"} 0."),
        "{metrics}"
    );
}

/// On one processor all guests that spin but one wait for their turn at any time: those too end at their
/// deadlines, and can be killed.
#[tokio::test]
async fn a_guest_that_waits_for_its_turn_ends_at_its_deadline_or_when_it_is_killed() {
    let builder = Wharf::builder().env("TOKIO_WORKER_THREADS", "1");
    let wharf = variants::started(
        builder,
        "[instances]\ncount = 4\nconcurrency = 1\n[limits]\ntimeout = '2s'",
    )
    .await;
    for variant in VARIANTS {
        let spinning: Vec<_> = (0..3)
            .map(|_| {
                let (front, target) = (wharf.front.fresh(), variant.steps("spin"));
                tokio::spawn(async move { front.try_get(&target).await })
            })
            .collect();
        wharf.wait_in_flight(variant.name, 3).await;
        let service = wharf.service(variant.name).await;
        let busy = service["instances"].as_array().into_iter().flatten();
        let mut busy = busy.filter(|instance| instance["in_flight"] == 1);
        let killed = busy.find_map(|instance| instance["id"].as_str());
        let target = format!(
            "/api/services/{}/instances/{}",
            variant.name,
            killed.expect("one")
        );
        let request = wharf.admin.request(Method::DELETE, &target, whole(""));
        assert_eq!(wharf.admin.client.send(request).await.status, 204);
        for request in spinning {
            let reply = request
                .await
                .expect("it did not panic")
                .expect("it was answered");
            assert!(
                [500, 502, 503, 504].contains(&reply.status.as_u16()),
                "{reply:?}"
            );
        }
        wharf.wait_healthy(variant.name, 4).await;
    }
}
