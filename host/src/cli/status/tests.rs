use super::super::testing::{Fake, NOW, Reply};
use super::super::text::width_of;
use super::*;

/// A service with everything that the contract names.
const LOGIN: &str = r#"{"name":"login","state":"ready",
 "release":{"revision":7,"digest":"ab12cd34ef56","deployed_at":1764179829.0},
 "canary":null,"held":null,"frozen":false,"taken_back":null,"routes":["/login"],
 "instances":[{"id":"12","state":"ready","in_flight":0,"served":120,"memory_bytes":1310720,"age_seconds":12.5},
  {"id":"13","state":"starting","in_flight":0,"served":0,"memory_bytes":0,"age_seconds":0.1}],
 "queued":0,"concurrency":1,
 "live":{"at":1764180009.0,"requests_per_second":120.0,"errors_per_second":0.0,"sheds_per_second":0.0,
  "replays_per_second":0.0,"exits_per_second":0.0,"p50_seconds":0.0008,"p99_seconds":0.0031},
 "counts":{"requests":1200,"errors":3,"starts":4,"exits":2,"replays":1,"sheds":0,"quarantined":0,"deploys":7,"cpu_seconds":1.5,
  "deploy_failures":0,"rollbacks":1},
 "quarantine":[],"last_deploy_error":null,"new_in_a_later_version":{"a":[1]}}"#;

fn longest() -> Service {
    let mut service: Service = serde_json::from_str(LOGIN).unwrap();
    service.name = "a".repeat(63);
    service.state = "degraded".to_owned();
    let live = service.live.as_mut().unwrap();
    live.requests_per_second = 88_888.0;
    live.p50_seconds = Some(0.888_888);
    live.p99_seconds = Some(188.0);
    service.counts.insert("errors".to_owned(), 99_999.into());
    service.release.as_mut().unwrap().revision = 1234;
    service.instances = vec![service.instances[0].clone(); 88];
    service.frozen = true;
    service.last_deploy_error = Some(super::super::api::DeployError {
        at: NOW,
        message: "the component is wrong in many ways ".repeat(20),
    });
    service
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn the_longest_names_and_numbers_fit_80_columns() {
    let text = plain(&overview(&[longest()], NOW).text(Some(80)));
    for line in text.lines() {
        assert!(width_of(line) <= 80, "{line}");
    }
    let row = text.lines().nth(1).unwrap();
    assert_eq!(width_of(row), 80, "the room is used: {row}");
    assert!(row.contains("aaa…aaa"), "{row}");
    let detail = plain(&detail::text(&longest(), Some(80), NOW));
    for line in detail.lines() {
        assert!(width_of(line) <= 80, "{line}");
    }
}

#[tokio::test]
async fn a_table_shows_each_service_and_its_needs() {
    let fake = Fake::start(|_| {
        let broken = r#"{"name":"pay","state":"broken","release":{"revision":12,"digest":"99ffee00"},"live":null}"#;
        Reply::json(&format!(r#"{{"services":[{LOGIN},{broken},{{"name":"search","state":"refused"}}]}}"#))
    })
    .await;
    let run = fake.run(&["status"]).await;
    let expected = "\
SERVICE  STATE    RELEASE      INST  REQ/S    P50    P99  ERRORS
login    ready     7 ab12cd34   1/2    120  800µs  3.1ms       3
pay      broken   12 99ffee00   0/0      –      –      –       0
  broken: instances end as soon as they start; see `wharf exits pay`
search   refused  –             0/0      –      –      –       0
";
    assert_eq!(run.out, expected);
    assert_eq!(run.code, 0);
}

#[tokio::test]
async fn one_service_is_shown_in_detail() {
    let fake = Fake::start(|request| match &*request.path {
        "/api/services/login" => Reply::json(LOGIN),
        _ => Reply::problem(404, "there is no service of that name"),
    })
    .await;
    let expected = "\
login  ready

release    7 (ab12cd34), for 3m00s
routes     /login
now        120 req/s, p50 800µs, p99 3.1ms
load       0 in flight, 0 queued; at most 1 in each instance
requests   1200, 3 errors, 1 replayed
instances  4 started, 2 ended
deploys    7, 1 rolled back

INSTANCE  STATE     IN FLIGHT  SERVED   MEMORY  AGE
12        ready             0     120  1.2 MiB  12s
13        starting          0       0      0 B   0s
";
    assert_eq!(fake.run(&["status", "login"]).await.out, expected);
    let missing = fake.run(&["status", "logout"]).await;
    assert_eq!((missing.code, missing.out.as_str()), (1, ""));
    assert_eq!(missing.err, "wharf: there is no service of that name\n");
}

#[tokio::test]
async fn json_is_what_the_host_sent() {
    let fake = Fake::start(|request| match &*request.path {
        "/api/services" => Reply::json("{\"services\": [],  \"z\":1,\"a\":2}"),
        _ => Reply::problem(404, "there is no service of that name"),
    })
    .await;
    let run = fake.run(&["status", "--json"]).await;
    assert_eq!(run.out, "{\"services\": [],  \"z\":1,\"a\":2}\n");
    let refused = fake.run(&["status", "x", "--json"]).await;
    assert!(
        refused.out.starts_with("{\"type\":\"about:blank\""),
        "{}",
        refused.out
    );
    assert_eq!(refused.code, 1);
}

#[tokio::test]
async fn an_empty_host_says_where_services_go() {
    let fake = Fake::start(|request| match &*request.path {
        "/api/services" => Reply::json(r#"{"services":[]}"#),
        _ => Reply::json(r#"{"services_directory":"srv/a"}"#),
    })
    .await;
    let run = fake.run(&["status"]).await;
    assert_eq!(
        run.out,
        "no services yet: `wharf deploy NAME.wasm`, or put it into srv/a\n"
    );
}

#[tokio::test]
async fn nothing_that_a_host_writes_reaches_the_terminal_as_an_order() {
    let fake = Fake::start(|_| {
        Reply::json("{\"services\":[{\"name\":\"a\\u001b[2J\",\"state\":\"\\u001b]0;x\\u0007\",\"frozen\":true}]}")
    })
    .await;
    for run in [
        fake.run(&["status"]).await,
        fake.run_with(&["status"], Some(80)).await,
    ] {
        assert!(
            !run.out.contains('\x1b') && !run.out.contains('\x07'),
            "{:?}",
            run.out
        );
        assert!(run.out.contains("a\\x1b[2J"), "{:?}", run.out);
    }
}
