//! How the server stops.

use wharf_tests::{Target, Wharf, wait_until};

use crate::fault;

/// Waits until the server has heard the signal, as a newcomer notices.
async fn draining(wharf: &Wharf) {
    wait_until("the server took nobody new", || async {
        // Nobody's path: where there is a service, the question itself might have to queue.
        let newcomer = Target::new(wharf.front.addr).try_get("/nobody").await;
        newcomer.map_or(true, |reply| reply.status == 503)
    })
    .await;
}

#[tokio::test]
async fn sigterm_lets_requests_in_flight_finish() {
    let mut wharf = Wharf::with("fault", fault()).await;
    let mut first = wharf.hold("/fault/echo").await;
    let http2 = wharf.front.http2();
    let mut second = wharf_tests::Held::open(&http2, "/fault/echo").await;
    wharf.terminate();
    draining(&wharf).await;

    assert!(!wharf.has_exited());
    first.exchange("take your time").await;
    second.exchange("take your time").await;
    first.release().await;
    second.release().await;
    assert!(wharf.wait_exit().await.success());
}

#[tokio::test]
async fn a_queued_request_is_served_before_the_server_ends() {
    let mut wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 1").await;
    let held = wharf.hold("/fault/echo").await;
    let front = wharf.front.clone();
    let queued = tokio::spawn(async move { front.get("/fault/hello").await });
    wharf.wait_queued("fault", 1).await;
    wharf.terminate();
    draining(&wharf).await;
    held.release().await;
    assert_eq!(queued.await.expect("it ends").status, 200);
    assert!(wharf.wait_exit().await.success());
}

#[tokio::test]
async fn the_operator_can_watch_the_drain() {
    let mut wharf = Wharf::with("fault", fault()).await;
    let held = wharf.hold("/fault/echo").await;
    wharf.terminate();
    draining(&wharf).await;
    assert_eq!(wharf.admin.get("/healthz").await.status, 200);
    assert_eq!(
        wharf.admin.get("/readyz").await.status,
        503,
        "no balancer is to send more"
    );
    wharf.wait_in_flight("fault", 1).await;
    held.release().await;
    assert!(wharf.wait_exit().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut wharf = Wharf::builder()
        .service("fault", fault())
        .manifest("fault", "[limits]\ntimeout = '1h'")
        .config("[drain]\ngrace = '1h'")
        .start()
        .await;
    let held = wharf.hold("/fault/echo").await;
    wharf.terminate();
    draining(&wharf).await;
    assert!(!wharf.has_exited());
    wharf.terminate();
    wharf.wait_exit().await;
    held.broken().await;
}

#[tokio::test]
async fn a_second_signal_makes_no_noise_of_what_it_ends() {
    let mut wharf = Wharf::builder()
        .service("fault", fault())
        .manifest("fault", "[instances]\ncount = 4\n[limits]\ntimeout = '1h'")
        .config("[drain]\ngrace = '1h'")
        .start()
        .await;
    for _ in 0..4 {
        let front = wharf.front.fresh();
        tokio::spawn(async move {
            front
                .try_get("/fault/steps?do=sleep:100000,head,finish")
                .await
        });
    }
    wharf.wait_in_flight("fault", 4).await;
    wharf.terminate();
    draining(&wharf).await;
    wharf.terminate();
    wharf.wait_exit().await;
    let log = wharf.log();
    let noise = log.iter().filter(|line| line.contains("panicked"));
    assert_eq!(noise.count(), 0, "{log:?}");
}

#[tokio::test]
async fn the_grace_period_bounds_the_wait() {
    let mut wharf = Wharf::builder()
        .service("fault", fault())
        .manifest("fault", "[limits]\ntimeout = '1h'")
        .config("[drain]\ngrace = '300ms'")
        .start()
        .await;
    let held = wharf.hold("/fault/echo").await;
    wharf.terminate();
    wharf.wait_exit().await;
    held.broken().await;
}

#[tokio::test]
async fn ctrl_c_drains_as_well() {
    let mut wharf = Wharf::with("fault", fault()).await;
    let held = wharf.hold("/fault/echo").await;
    wharf.interrupt();
    draining(&wharf).await;
    held.release().await;
    assert!(wharf.wait_exit().await.success());
}

#[tokio::test]
async fn idle_connections_hold_nobody_up() {
    let mut wharf = Wharf::builder()
        .service("fault", fault())
        .config("[drain]\ngrace = '1h'\n[http]\nidle_timeout = '1h'")
        .start()
        .await;
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
    let http2 = wharf.front.http2();
    assert_eq!(http2.get("/fault/hello").await.status, 200);
    let _silent = tokio::net::TcpStream::connect(wharf.front.addr)
        .await
        .expect("it listens");
    wharf.terminate();
    assert!(wharf.wait_exit().await.success());
}
