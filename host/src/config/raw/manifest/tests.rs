use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use super::*;
use crate::config::{Isolation, Key, Rollout, Setting, Share};

fn login() -> ServiceName {
    ServiceName::parse("login").unwrap()
}

fn environment(name: &str) -> Result<String, VarError> {
    match name {
        "LOGIN_KEY" => Ok("s3cret".to_owned()),
        "BROKEN" => Err(VarError::NotUnicode(OsString::new())),
        _ => Err(VarError::NotPresent),
    }
}

fn parse_on(host: &Config, text: &str) -> Result<Manifest, ConfigError> {
    manifest(
        &login(),
        Path::new("services/login.toml"),
        text,
        host,
        &environment,
    )
}

fn parse(text: &str) -> Manifest {
    parse_on(&Config::default(), text).unwrap()
}

/// The message without the file, which every message starts with.
fn refused(text: &str) -> String {
    let error = parse_on(&Config::default(), text).unwrap_err();
    let message = error.to_string();
    message
        .strip_prefix("services/login.toml: ")
        .unwrap()
        .to_owned()
}

#[test]
fn an_empty_manifest_is_no_manifest() {
    let manifest = parse("");
    assert_eq!(
        manifest,
        Manifest::default_for(&login(), &Config::default())
    );
    assert_eq!(manifest.routes, ["/login".parse().unwrap()]);
    assert_eq!(manifest.instances.count.get(), 2);
    assert_eq!(manifest.grants, crate::config::Grants::default());
    assert_eq!(manifest.failover.replay, Replay::Safe);
}

#[test]
fn a_rollout_is_read() {
    let manifest = parse(
        r#"
        [rollout]
        canary = "12.5%"
        for = "1m"
        max_failures = 20
        by = "header x-user"
        "#,
    );
    assert_eq!(
        manifest.rollout,
        Some(Rollout {
            canary: Share::new(1250).unwrap(),
            lasts: Duration::from_mins(1),
            max_failures: Some(20),
            by: Key::Header(http::HeaderName::from_static("x-user")),
        })
    );
}

#[test]
fn every_key_is_taken() {
    let manifest = parse(
        r#"
        routes = ["/login", "= api.example.com/session"]
        isolation = "request"
        weight = 30
        [instances]
        count = 4
        concurrency = 8
        max_requests = 1000
        max_memory_before_retire = "48MiB"
        [limits]
        memory = "64MiB"
        timeout = "10s"
        request_body = "1MiB"
        replay_body = 0
        queue = 0
        queue_wait = "1s"
        start = "20s"
        [grants]
        keyvalue = ["users", "sessions"]
        http = ["https://api.example.com", "http://[::1]:8081"]
        services = ["accounts"]
        [grants.config]
        ttl = "3600"
        "signing.key" = { from_env = "LOGIN_KEY" }
        [grants.env]
        RUST_LOG = "debug"
        [failover]
        replay = "idempotent"
        quarantine = "5m"
        [restart]
        backoff_min = "1s"
        backoff_max = "1m"
        max_failures = 3
        window = "5m"
        cooldown = "500ms"
        "#,
    );
    let routes: Vec<_> = manifest.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["/login", "= api.example.com/session"]);
    assert_eq!(manifest.isolation, Isolation::Request);
    assert_eq!(manifest.weight.get(), 30);
    assert_eq!(
        manifest.instances,
        Instances {
            count: 4.try_into().unwrap(),
            concurrency: NonZeroUsize::new(8),
            max_requests: 1000.try_into().ok(),
            max_memory_before_retire: Some(48 << 20),
        }
    );
    assert_eq!(
        manifest.limits,
        Limits {
            memory: 64 << 20,
            timeout: Duration::from_secs(10),
            request_body: 1 << 20,
            replay_body: 0,
            queue: 0,
            queue_wait: Duration::from_secs(1),
            start: Duration::from_secs(20),
        }
    );
    let grants = manifest.grants;
    assert_eq!(
        grants.keyvalue,
        BTreeSet::from(["sessions", "users"].map(str::to_owned))
    );
    assert_eq!(
        grants.config,
        BTreeMap::from([
            ("signing.key".to_owned(), Setting::new("s3cret")),
            ("ttl".to_owned(), Setting::new("3600")),
        ])
    );
    assert_eq!(grants.env["RUST_LOG"], Setting::new("debug"));
    assert!(grants.allows_http("https", "api.example.com", 443));
    assert!(grants.allows_http("http", "::1", 8081));
    assert!(!grants.allows_http("http", "::1", 80));
    assert_eq!(
        grants.services,
        BTreeSet::from(["accounts".parse().unwrap()])
    );
    assert_eq!(
        manifest.failover,
        Failover {
            replay: Replay::Idempotent,
            quarantine: Duration::from_mins(5),
        }
    );
    assert_eq!(
        manifest.restart,
        Restart {
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_mins(1),
            max_failures: 3.try_into().unwrap(),
            window: Duration::from_mins(5),
            cooldown: Duration::from_millis(500),
        }
    );
}

#[test]
fn some_limits_can_be_lifted() {
    let manifest =
        parse("[instances]\nmax_requests = \"unlimited\"\n[limits]\nrequest_body = \"unlimited\"");
    assert_eq!(manifest.instances.max_requests, None);
    assert_eq!(manifest.limits.request_body, u64::MAX);
}

#[test]
fn the_complete_message_names_the_file() {
    let error = parse_on(&Config::default(), "[limits]\ntimeout = \"30\"").unwrap_err();
    assert_eq!(
        error.to_string(),
        "services/login.toml: limits.timeout: \"30\" has no unit; allowed: a duration such as \
         \"250ms\", \"30s\", \"5m\", \"1h\""
    );
    assert_eq!(error.file(), Path::new("services/login.toml"));
    assert_eq!(error.key(), Some("limits.timeout"));
}

#[test]
fn broken_toml_is_refused_with_its_place() {
    for (text, place) in [
        ("[limits]\ntimeout = ", "services/login.toml:2:"),
        (
            "[limits]\n\nqueue = 1\nqueue = 2",
            "services/login.toml:4:1:",
        ),
        ("routes = [\"/a\"", "services/login.toml:1:"),
        ("a\u{fc} = 1", "services/login.toml:1:2:"),
    ] {
        let error = parse_on(&Config::default(), text).unwrap_err();
        assert!(error.to_string().starts_with(place), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
        assert_eq!(error.key(), None);
    }
}

#[test]
fn an_unknown_key_is_answered_with_those_there_are() {
    assert_eq!(
        refused("[limits]\ntimout = \"3s\""),
        "limits.timout: unknown key, did you mean \"timeout\"?; allowed here: memory, timeout, \
         request_body, replay_body, queue, queue_wait, start"
    );
    assert_eq!(
        refused("[grants]\nsockets = true"),
        "grants.sockets: unknown key; allowed here: keyvalue, config, env, http, services"
    );
    assert_eq!(
        refused("[failover]\nretry = \"safe\""),
        "failover.retry: unknown key; allowed here: replay, quarantine"
    );
    assert_eq!(
        refused("[\"lim`its\"]\n"),
        "\"lim`its\": unknown key, did you mean \"limits\"?; allowed here: routes, isolation, \
         weight, instances, limits, grants, failover, restart, rollout"
    );
}

#[test]
fn an_unknown_isolation_is_refused() {
    assert_eq!(
        refused("isolation = \"requests\""),
        "isolation: \"requests\" is unknown, did you mean \"request\"?; allowed: \"instance\", \
         \"request\""
    );
}

#[test]
fn wrong_values_are_refused_with_what_is_allowed() {
    for (text, message) in [
        (
            "routes = \"/a\"",
            "routes: a string cannot stand here; allowed: a list",
        ),
        (
            "routes = [3]",
            "routes[0]: integer `3` cannot stand here; allowed: a string",
        ),
        (
            "[[limits]]\nqueue = 1",
            "limits: a list cannot stand here; allowed: a table",
        ),
        (
            "weight = 101",
            "weight: 101 is out of range; allowed: a whole number from 1 to 100",
        ),
        (
            "[instances]\ncount = 0",
            "instances.count: 0 is out of range; allowed: a whole number from 1 to 1000",
        ),
        (
            "[instances]\ncount = -1",
            "instances.count: -1 is negative; allowed: a whole number such as 100",
        ),
        (
            "[instances]\ncount = \"2\"",
            "instances.count: \"2\" is not a number; allowed: a whole number such as 100, without \
             quotes",
        ),
        (
            "[instances]\ncount = 2.5",
            "instances.count: floating point `2.5` cannot stand here; allowed: a whole number such \
             as 100",
        ),
        (
            "[instances]\nmax_requests = 0",
            "instances.max_requests: 0 is out of range; allowed: a whole number from 1 to \
             1000000000, or \"unlimited\"",
        ),
        (
            "[instances]\nmax_requests = \"many\"",
            "instances.max_requests: \"many\" is not a number; allowed: a whole number such as 100, \
             or \"unlimited\"",
        ),
        (
            "[limits]\nmemory = \"64\"",
            "limits.memory: \"64\" has no unit; allowed: a size such as \"64KiB\", \"128MiB\", \
             \"1GiB\", \"10MB\", or a whole number of bytes",
        ),
        (
            "[limits]\nmemory = 1000",
            "limits.memory: \"1000B\" is out of range; allowed: \"64KiB\" to \"1GiB\"",
        ),
        (
            "[limits]\ntimeout = \"0s\"",
            "limits.timeout: \"0ms\" is out of range; allowed: \"1ms\" to \"24h\"",
        ),
        (
            "[limits]\ntimeout = \"25h\"",
            "limits.timeout: \"25h\" is out of range; allowed: \"1ms\" to \"24h\"",
        ),
        (
            "[limits]\ntimeout = true",
            "limits.timeout: boolean `true` cannot stand here; allowed: a duration such as \
             \"250ms\", \"30s\", \"5m\", \"1h\"",
        ),
        (
            "[limits]\ntimeout = { s = 3 }",
            "limits.timeout: a table or date cannot stand here; allowed: a duration such as \
             \"250ms\", \"30s\", \"5m\", \"1h\"",
        ),
        (
            "failover = 2026-01-02",
            "failover: unknown key; allowed here: replay, quarantine",
        ),
        (
            "[failover]\nreplay = \"saef\"",
            "failover.replay: \"saef\" is unknown, did you mean \"safe\"?; allowed: \"safe\", \
             \"idempotent\", \"never\"",
        ),
        (
            "[grants]\nkeyvalue = [\"a\", \"b/c\"]",
            "grants.keyvalue[1]: \"b/c\" cannot be the name of a bucket; allowed: 1 to 64 of a-z, \
             A-Z, 0-9, \"-\" and \"_\"",
        ),
    ] {
        assert_eq!(refused(text), message);
    }
    assert!(
        refused("[grants]\nhttp = [\"example.com\"]")
            .starts_with("grants.http[0]: \"example.com\" has no scheme; allowed: scheme://host")
    );
    assert!(refused("routes = [\"/a\", \"/b/\"]").starts_with(
        "routes[1]: \"/b/\" ends in a slash; write \"/b\" for it and everything below it"
    ));
    assert_eq!(
        refused("routes = [\"/login\", \"/%6Cogin\"]"),
        "routes[1]: \"/login\" is in the list already; remove one"
    );
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (text, message) in [
        (
            "[limits]\ntimeout = \"1s\"\nqueue_wait = \"2s\"",
            "limits.queue_wait: \"2s\" is longer than the whole request may take; allowed: no more \
             than limits.timeout, \"1s\"",
        ),
        (
            "[limits]\nmemory = \"2GiB\"",
            "limits.memory: \"2GiB\" is more than this server gives; allowed: \"64KiB\" to \
             \"1GiB\", or raise sandbox.max_memory in the server's configuration",
        ),
        (
            "[instances]\nmax_memory_before_retire = \"129MiB\"",
            "instances.max_memory_before_retire: \"129MiB\" can never be reached; allowed: no more \
             than limits.memory, \"128MiB\"",
        ),
        (
            "[restart]\nbackoff_min = \"2s\"\nbackoff_max = \"1s\"",
            "restart.backoff_min: \"2s\" is too long; allowed: no more than restart.backoff_max, \
             \"1s\"",
        ),
    ] {
        assert_eq!(refused(text), message);
    }
}

#[test]
fn defaults_give_way_to_what_is_written() {
    let limits = parse("[limits]\ntimeout = \"1s\"").limits;
    assert_eq!(limits.queue_wait, Duration::from_secs(1));
    let restart = parse("[restart]\nbackoff_min = \"1m\"").restart;
    assert_eq!(restart.backoff_max, Duration::from_mins(1));
    let restart = parse("[restart]\nbackoff_max = \"10ms\"").restart;
    assert_eq!(restart.backoff_min, Duration::from_millis(10));
}

#[test]
fn a_small_server_gives_small_defaults() {
    let text = "[sandbox]\nmax_instances = 1\nmax_memory = \"1MiB\"";
    let host = Config::parse(Path::new("wharf.toml"), text).unwrap();
    let manifest = parse_on(&host, "").unwrap();
    assert_eq!(manifest.instances.count.get(), 1);
    assert_eq!(manifest.limits.memory, 1 << 20);
    let error = parse_on(&host, "[instances]\ncount = 2")
        .unwrap_err()
        .to_string();
    assert!(error.contains("a whole number from 1 to 1"), "{error}");
}

#[test]
fn settings_come_from_the_file_or_from_the_environment() {
    for (text, message) in [
        (
            "[grants.config]\nkey = { from_env = \"MISSING\" }",
            "grants.config.key: the environment variable \"MISSING\" is not set; set it for the \
             server, or write the value here",
        ),
        (
            "[grants.env]\n\"a b\" = { from_env = \"BROKEN\" }",
            "grants.env.\"a b\": the environment variable \"BROKEN\" is not valid UTF-8; set it for \
             the server, or write the value here",
        ),
        (
            "[grants.config]\nttl = 3600",
            "grants.config.ttl: a number cannot stand here; allowed: a string, or { from_env = \
             \"VARIABLE\" }",
        ),
        (
            "[grants.config]\nttl = [\"a\"]",
            "grants.config.ttl: a list cannot stand here; allowed: a string, or { from_env = \
             \"VARIABLE\" }",
        ),
        (
            "[grants.config]\nday = 2026-01-02",
            "grants.config.day: a date or time cannot stand here; allowed: a string, or { from_env \
             = \"VARIABLE\" }",
        ),
        (
            "[grants.config]\nkey = { from = \"LOGIN_KEY\" }",
            "grants.config.key: has the unknown key \"from\"; allowed: a string, or { from_env = \
             \"VARIABLE\" }",
        ),
        (
            "[grants.config]\nkey = {}",
            "grants.config.key: has no from_env; allowed: a string, or { from_env = \"VARIABLE\" }",
        ),
        (
            "[grants.env]\n\"A=B\" = \"c\"",
            "grants.env.\"A=B\": cannot be a name; allowed: any that is not empty and has no \"=\" \
             and no NUL",
        ),
    ] {
        assert_eq!(refused(text), message);
    }
}

#[test]
fn no_message_repeats_a_secret() {
    for text in [
        "[grants]\nconfig = \"s3cret\"",
        "[grants]\nenv = [\"s3cret\"]",
        "[grants.config]\nkey = \"s3cret\\u0000\"",
        "[grants.config]\nkey = [\"s3cret\"]",
        "[grants.config]\nkey = \"s3cret",
        "[grants.config]\nkey = s3cret",
        "[grants.config]\nkey = \"s3cret\"\nkey = \"s3cret\"",
        "[grants.config]\nkey = { from_env = \"LOGIN_KEY\" }\n[limits]\nqueue = -1",
    ] {
        let error = parse_on(&Config::default(), text).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("s3cret"),
            "{error:?}"
        );
    }
}
