use super::super::text::width_of;
use super::facts::{Directory, Port, Target, TokenFile, Toolchain};
use super::*;

/// A machine that lacks nothing.
fn good() -> Facts {
    Facts {
        toolchain: Toolchain {
            cargo: Some("cargo 1.95.0 (f2d3ce0bd 2026-03-21)".to_owned()),
            component: Some("cargo-component-component 0.21.1".to_owned()),
            target: Target::Installed,
            rustup: true,
        },
        listen_address: "127.0.0.1:8080".parse().unwrap(),
        listen: Port::Free,
        admin_address: "127.0.0.1:9090".parse().unwrap(),
        admin: Port::Wharf("Wharf 0.1.0 (pid 7)".to_owned()),
        services_path: "services".into(),
        services: Directory::Usable,
        data_path: "data".into(),
        data: Directory::Makeable,
        token_path: "data/admin.token".into(),
        token: TokenFile::Mode(0o100_600),
        open_files: None,
        address_space: None,
        overcommit: Some(0),
        mappings: Some(65_530),
        watches: Some(524_288),
        connections: 10_000,
        instances: 4000,
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The check that isn't well, which has to be the only one.
fn odd(facts: &Facts) -> Check {
    let mut odd = checks(facts);
    odd.retain(|check| check.verdict != Verdict::Ok);
    assert_eq!(odd.len(), 1, "{odd:#?}");
    odd.remove(0)
}

#[test]
fn a_machine_that_lacks_nothing_passes() {
    let checks = checks(&good());
    assert!(
        checks
            .iter()
            .all(|check| check.verdict == Verdict::Ok && check.fix.is_none()),
        "{checks:#?}"
    );
    assert_eq!(exit_code(&checks), ExitCode::SUCCESS);
    let report = plain(&report(&checks, Some(80)));
    assert!(
        report.starts_with("building\n  ok    cargo            1.95.0\n"),
        "{report}"
    );
    assert!(!report.contains("failed"), "{report}");
}

#[test]
fn each_lack_is_judged_and_has_a_fix() {
    use Verdict::{Fail, Warn};
    type Change = fn(&mut Facts);
    let cases: [(Change, Verdict, &str); 16] = [
        (
            |f| f.listen = Port::Taken(String::new()),
            Fail,
            "--listen names another",
        ),
        (
            |f| f.admin = Port::Taken(" by a host".to_owned()),
            Fail,
            "sport = :9090",
        ),
        (|f| f.listen = Port::Forbidden, Fail, "CAP_NET_BIND_SERVICE"),
        (
            |f| f.listen = Port::Unusable("no".to_owned()),
            Fail,
            "--listen names another",
        ),
        (
            |f| f.services = Directory::SomethingElse,
            Fail,
            "move it away",
        ),
        (
            |f| f.data = Directory::Unusable("no".to_owned()),
            Fail,
            "chown",
        ),
        (
            |f| f.token = TokenFile::Mode(0o644),
            Fail,
            "chmod 600 data/admin.token",
        ),
        (|f| f.token = TokenFile::Mode(0o620), Fail, "chmod 600"),
        (
            |f| f.token = TokenFile::Unreadable("no".to_owned()),
            Fail,
            "be the user",
        ),
        (|f| f.open_files = Some(1024), Warn, "ulimit -n 10512"),
        (|f| f.open_files = Some(100), Fail, "LimitNOFILE=10512"),
        (
            |f| f.address_space = Some(1 << 40),
            Warn,
            "ulimit -v unlimited",
        ),
        (
            |f| f.overcommit = Some(2),
            Warn,
            "sysctl vm.overcommit_memory=0",
        ),
        (
            |f| f.mappings = Some(8000),
            Warn,
            "sysctl vm.max_map_count=32000",
        ),
        (
            |f| f.watches = Some(100),
            Warn,
            "sysctl fs.inotify.max_user_watches",
        ),
        (
            |f| f.toolchain.component = Some("0.20.0".to_owned()),
            Fail,
            "cargo install",
        ),
    ];
    for (change, verdict, fix) in cases {
        let mut facts = good();
        change(&mut facts);
        let check = odd(&facts);
        assert_eq!(check.verdict, verdict, "{check:?}");
        assert!(check.fix.as_ref().unwrap().contains(fix), "{check:?}");
        let code = if verdict == Fail {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
        assert_eq!(exit_code(&checks(&facts)), code);
        let report = plain(&report(&checks(&facts), Some(80)));
        assert_eq!(
            report.contains("1 of 13 checks failed"),
            verdict == Fail,
            "{report}"
        );
        for line in report.lines() {
            assert!(width_of(line) <= 80, "{line}");
        }
    }
}

#[test]
fn what_a_system_does_not_have_is_not_checked() {
    let facts = Facts {
        overcommit: None,
        mappings: None,
        watches: None,
        ..good()
    };
    assert_eq!(checks(&facts).len(), checks(&good()).len() - 3);
}

#[test]
fn limits_that_are_just_enough_are_enough() {
    let facts = Facts {
        open_files: Some(10_512),
        address_space: Some(4000 << 33),
        mappings: Some(32_000),
        watches: Some(8192),
        ..good()
    };
    assert!(
        checks(&facts)
            .iter()
            .all(|check| check.verdict == Verdict::Ok)
    );
}

#[tokio::test]
async fn this_machine_can_be_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        services: directory.path().join("services"),
        data: directory.path().join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        admin: "127.0.0.1:0".parse().unwrap(),
        ..Config::default()
    };
    let facts = Facts::gather(&config).await;
    assert_eq!((&facts.listen, &facts.admin), (&Port::Free, &Port::Free));
    assert_eq!(
        (&facts.services, &facts.data),
        (&Directory::Makeable, &Directory::Makeable)
    );
    assert_eq!(facts.token, TokenFile::Missing);
    assert!(facts.toolchain.cargo.is_some(), "it was built with one");
}

#[tokio::test]
async fn a_host_that_runs_is_no_failure() {
    let fake = super::super::testing::Fake::start(|request| {
        assert_eq!(request.path, "/api/host");
        super::super::testing::Reply::json(r#"{"version":"0.1.0","pid":7,"listen":"127.0.0.1:1"}"#)
    })
    .await;
    let config = Config {
        data: fake.token_file().parent().unwrap().to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        admin: fake.address,
        ..Config::default()
    };
    let facts = Facts::gather(&config).await;
    assert_eq!(facts.admin, Port::Wharf("Wharf 0.1.0 (pid 7)".to_owned()));
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("admin.token"), "another").unwrap();
    let facts = Facts::gather(&Config {
        data: elsewhere.path().to_owned(),
        ..config
    })
    .await;
    assert_eq!(
        facts.admin,
        Port::Taken(" by a host with another data directory".to_owned())
    );
}
