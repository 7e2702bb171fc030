//! Files become services, and change, and go, while requests come in.

use std::process::Command;

use wharf_tests::{Load, Wharf, test_guest, wait_until};

use crate::fault;

#[tokio::test]
async fn a_file_that_is_moved_into_the_directory_is_served() {
    let wharf = Wharf::builder().start().await;
    wharf.get("/hello").await.problem(404);
    wharf.deploy("hello", test_guest("hello-one"));
    wharf.wait_deployed("hello", test_guest("hello-one")).await;
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    assert_eq!(wharf.get("/hello/and/below").await.text(), "one\n");
}

#[tokio::test]
async fn a_file_that_is_copied_slowly_is_served_once_it_is_whole() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    let bytes = std::fs::read(test_guest("hello-two")).expect("it was built");
    let (first, second) = bytes.split_at(bytes.len() / 2);
    wharf.write("hello.wasm", first);
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    wharf.write("hello.wasm", &[first, second].concat());
    wharf.wait_deployed("hello", test_guest("hello-two")).await;
    assert_eq!(wharf.get("/hello").await.text(), "two\n");
}

#[tokio::test]
async fn a_file_that_is_overwritten_where_it_stands_is_swapped() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    let two = std::fs::read(test_guest("hello-two")).expect("it was built");
    wharf.write("hello.wasm", &two);
    wharf.wait_deployed("hello", test_guest("hello-two")).await;
    assert_eq!(wharf.get("/hello").await.text(), "two\n");
}

#[tokio::test]
async fn the_api_shows_the_sha_256_of_what_runs() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    let bytes = std::fs::read(test_guest("hello-one")).expect("it was built");
    let service = wharf.service("hello").await;
    assert_eq!(
        service["release"]["digest"],
        wharf_tests::wharf::digest(&bytes)
    );
    assert!(service["release"]["deployed_at"].is_number(), "{service}");
}

#[tokio::test]
async fn fifty_swaps_under_load_lose_no_request() {
    let wharf = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .config("[deploy]\nquiet = '10ms'")
        .start()
        .await;
    let front = wharf.front.clone();
    let load = Load::start(4, move || {
        let front = front.clone();
        async move { front.try_get("/hello").await }
    });
    let http2 = wharf.front.http2();
    let load2 = Load::start(2, move || {
        let http2 = http2.clone();
        async move { http2.try_get("/hello").await }
    });
    let versions = [test_guest("hello-two"), test_guest("hello-one")];
    for version in versions.iter().cycle().take(50) {
        wharf.deploy("hello", version);
        wharf.wait_deployed("hello", version).await;
        load.more(4).await;
    }
    for load in [load, load2] {
        let tally = load.stop().await;
        tally.only(200);
        let bodies: Vec<_> = tally.bodies.keys().map(String::as_str).collect();
        assert_eq!(
            bodies,
            ["one", "two"],
            "both versions were seen, and nothing else"
        );
    }
    assert!(wharf.metric("wharf_deploys_total", &["hello"]).await >= 51);
}

#[tokio::test]
async fn a_swap_is_one_step_no_request_after_it_meets_the_old_version() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    wharf.deploy("hello", test_guest("hello-two"));
    wait_until("the new version answered", || async {
        wharf.get("/hello").await.text() == "two\n"
    })
    .await;
    let replies = crate::all_at_once(&wharf.front, "/hello", 50).await;
    let tally = wharf_tests::Tally::of(replies);
    tally.only(200);
    assert!(!tally.bodies.contains_key("one"), "{tally:?}");
}

#[tokio::test]
async fn a_request_in_flight_ends_in_the_version_that_it_began_in() {
    let wharf = Wharf::with("thing", fault()).await;
    let mut held = wharf.hold("/thing/echo").await;
    wharf.deploy("thing", test_guest("hello-one"));
    wharf.wait_deployed("thing", test_guest("hello-one")).await;
    assert_eq!(wharf.get("/thing").await.text(), "one\n");

    held.exchange("the old version goes on").await;
    held.release().await;
    wait_until("the old version was gone", || async {
        wharf.exits_by("thing", "retired").await.len() >= 2
    })
    .await;
    assert_eq!(wharf.get("/thing").await.text(), "one\n");
}

#[tokio::test]
async fn an_old_version_that_will_not_end_is_ended() {
    let manifest = "[limits]\ntimeout = '1h'";
    let wharf = Wharf::builder()
        .service("thing", fault())
        .manifest("thing", manifest)
        .config("[deploy]\ndrain = '300ms'")
        .start()
        .await;
    let held = wharf.hold("/thing/echo").await;
    wharf.deploy("thing", test_guest("hello-one"));
    held.broken().await;
    assert_eq!(wharf.get("/thing").await.text(), "one\n");
}

#[tokio::test]
async fn a_removed_file_drains_its_service() {
    let wharf = Wharf::with("fault", fault()).await;
    let mut held = wharf.hold("/fault/echo").await;
    wharf.remove("fault.wasm");
    wait_until("new requests found nothing", || async {
        wharf.get("/fault/hello").await.status == 404
    })
    .await;
    held.exchange("what is in flight goes on").await;
    held.release().await;
    wait_until("the service was gone", || async {
        wharf.admin.get("/api/services/fault").await.status == 404
    })
    .await;
}

#[tokio::test]
async fn a_removed_file_may_come_back() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    for version in ["hello-two", "hello-one"] {
        wharf.remove("hello.wasm");
        wait_until("it was gone", || async {
            wharf.get("/hello").await.status == 404
        })
        .await;
        wharf.deploy("hello", test_guest(version));
        wharf.wait_deployed("hello", test_guest(version)).await;
        assert_eq!(wharf.get("/hello").await.status, 200);
    }
}

#[tokio::test]
async fn a_new_manifest_takes_effect_and_a_removed_one_leaves_the_defaults() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    wharf.rename_in("hello.toml", b"[instances]\ncount = 5");
    wharf.wait_healthy("hello", 5).await;
    wharf.rename_in("hello.toml", b"routes = ['/hi']");
    wait_until("the new route was there", || async {
        wharf.get("/hi").await.status == 200
    })
    .await;
    wharf.get("/hello").await.problem(404);

    wharf.remove("hello.toml");
    wait_until("the default route was back", || async {
        wharf.get("/hello").await.status == 200
    })
    .await;
    wharf.get("/hi").await.problem(404);
    wharf.wait_healthy("hello", 2).await;
}

#[tokio::test]
async fn what_is_no_service_is_left_alone() {
    let wharf = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .file("README.md", "# Notes")
        .file(".hidden.wasm", "not yet")
        .file("hello.wasm.part", "half of it")
        .file("hello.wasm~", "an editor's copy")
        .file("lonely.toml", "[instances]\ncount = 2")
        .start()
        .await;
    std::fs::create_dir(wharf.services().join("directory.wasm")).expect("there is none yet");
    assert_eq!(wharf.get("/hello").await.status, 200);
    let services = wharf.api("/api/services").await;
    let services = services["services"].as_array().cloned().expect("a list");
    let ready: Vec<_> = services
        .iter()
        .filter(|one| one["state"] == "ready")
        .collect();
    assert_eq!(ready.len(), 1, "{services:?}");
    for target in ["/lonely", "/hidden", "/.hidden", "/directory", "/README"] {
        wharf.get(target).await.problem(404);
    }
}

#[tokio::test]
async fn many_services_live_side_by_side() {
    let mut builder = Wharf::builder();
    for number in 0..6 {
        let guest = if number % 2 == 0 {
            "hello-one"
        } else {
            "hello-two"
        };
        builder = builder.service(&format!("service-{number}"), test_guest(guest));
    }
    let wharf = builder.start().await;
    for number in 0..6 {
        let expected = if number % 2 == 0 { "one\n" } else { "two\n" };
        assert_eq!(
            wharf.get(&format!("/service-{number}")).await.text(),
            expected
        );
    }
}

/// A manifest that is a directory can be read by nobody.
#[tokio::test]
async fn a_service_whose_files_cant_be_read_keeps_no_other_from_being_served() {
    let builder = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .service("odd", test_guest("hello-one"))
        .service("pipe", test_guest("hello-one"));
    let odd = builder.services().join("odd.toml");
    std::fs::create_dir(&odd).expect("it isn't there");
    let pipe = Command::new("mkfifo")
        .arg(builder.services().join("pipe.toml"))
        .status();
    assert!(pipe.expect("it is one of the coreutils").success());
    let wharf = builder.start().await;
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    wharf.wait_log(&["odd", "can't be read"]).await;
    wharf.wait_log(&["pipe", "can't be read"]).await;
    std::fs::remove_dir(&odd).expect("it is empty");
    wait_until("it was served, too", || async {
        wharf.get("/odd").await.status == 200
    })
    .await;
}
