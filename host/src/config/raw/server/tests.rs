use super::*;

fn refused(text: &str) -> String {
    server(Path::new("wharf.toml"), text)
        .unwrap_err()
        .to_string()
}

#[test]
fn an_empty_file_changes_nothing() {
    assert_eq!(
        server(Path::new("wharf.toml"), "").unwrap(),
        Config::default()
    );
}

#[test]
fn every_key_is_taken() {
    let text = r#"
        listen = "0.0.0.0:80"
        admin = "[::1]:0"
        services = "/srv/services"
        data = "/srv/data"
        [http]
        max_connections = 5
        header_timeout = "5s"
        idle_timeout = "2m"
        max_header_bytes = "16KiB"
        max_headers = 50
        max_concurrent_streams = 7
        [drain]
        grace = "0s"
        [deploy]
        quiet = "250ms"
        max_component_size = "10MB"
        parallel_compiles = 2
        compile_timeout = "90s"
        compile_memory = "512MiB"
        drain = "1m"
        compile_cache = "2GiB"
        keep_releases = 3
        [sandbox]
        max_instances = 20
        max_memory = "4GiB"
        [log]
        format = "json"
        level = "warn,wharf=debug"
        guest_lines_per_second = 10
        guest_line_bytes = 1000
        [access_log]
        output = "/var/log/wharf/access.log"
        format = "json"
    "#;
    let config = server(Path::new("wharf.toml"), text).unwrap();
    assert_eq!(config.listen, "0.0.0.0:80".parse().unwrap());
    assert_eq!(config.admin, "[::1]:0".parse().unwrap());
    assert_eq!(config.services, PathBuf::from("/srv/services"));
    assert_eq!(config.data, PathBuf::from("/srv/data"));
    assert_eq!(
        config.http,
        Http {
            max_connections: 5.try_into().unwrap(),
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(2),
            max_header_bytes: 16_384,
            max_headers: 50,
            max_concurrent_streams: 7,
        }
    );
    assert_eq!(
        config.drain,
        Drain {
            grace: Duration::ZERO
        }
    );
    assert_eq!(
        config.deploy,
        Deploy {
            quiet: Duration::from_millis(250),
            max_component_size: 10_000_000,
            parallel_compiles: 2.try_into().unwrap(),
            compile_timeout: Duration::from_secs(90),
            compile_memory: 512 << 20,
            drain: Duration::from_mins(1),
            compile_cache: Some(2 << 30),
            keep_releases: 3.try_into().unwrap(),
        }
    );
    assert_eq!(
        config.sandbox,
        Sandbox {
            max_instances: 20.try_into().unwrap(),
            max_memory: 4 << 30
        }
    );
    assert_eq!(
        config.log,
        Log {
            format: LogFormat::Json,
            level: "warn,wharf=debug".to_owned(),
            guest_lines_per_second: 10.try_into().unwrap(),
            guest_line_bytes: 1000,
        }
    );
    assert_eq!(
        config.access_log,
        AccessLog {
            output: AccessOutput::File("/var/log/wharf/access.log".into()),
            format: LogFormat::Json,
        }
    );
}

#[test]
fn the_compile_cache_can_be_turned_off() {
    let text = "[deploy]\ncompile_cache = \"off\"";
    let config = server(Path::new("wharf.toml"), text).unwrap();
    assert_eq!(config.deploy.compile_cache, None);
}

#[test]
fn refusals_name_the_key_and_what_is_allowed() {
    for (text, message) in [
        (
            "listen = \"localhost:80\"",
            "wharf.toml: listen: \"localhost:80\" is not an address; allowed: an IP address and \
             a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
        ),
        (
            "data = \"\"",
            "wharf.toml: data: is empty; allowed: the path of a directory",
        ),
        (
            "lisen = 1",
            "wharf.toml: lisen: unknown key, did you mean \"listen\"?; allowed here: services, \
             data, listen, admin, http, drain, deploy, sandbox, log, access_log",
        ),
        (
            "[drain]\ngrace = 30",
            "wharf.toml: drain.grace: 30 has no unit; allowed: a duration such as \"250ms\", \
             \"30s\", \"5m\", \"1h\"",
        ),
        (
            "[http]\nheader_timeout = \"0s\"",
            "wharf.toml: http.header_timeout: \"0ms\" is out of range; allowed: \"1ms\" to \"24h\"",
        ),
        (
            "[sandbox]\nmax_memory = \"5GiB\"",
            "wharf.toml: sandbox.max_memory: \"5GiB\" is out of range; allowed: \"64KiB\" to \"4GiB\"",
        ),
        (
            "[deploy]\ncompile_cache = \"1KiB\"",
            "wharf.toml: deploy.compile_cache: \"1KiB\" is out of range; allowed: \"1MiB\" to \
             \"1024GiB\", or \"off\"",
        ),
        (
            "[deploy]\ncompile_memory = \"1MiB\"",
            "wharf.toml: deploy.compile_memory: \"1MiB\" is out of range; allowed: \"64MiB\" to \
             \"1024GiB\"",
        ),
        (
            "[deploy]\ncompile_timeout = \"0s\"",
            "wharf.toml: deploy.compile_timeout: \"0ms\" is out of range; allowed: \"1ms\" to \"24h\"",
        ),
        (
            "[deploy]\ncompile_cache = \"of\"",
            "wharf.toml: deploy.compile_cache: \"of\" is not a size; allowed: a size such as \
             \"64KiB\", \"128MiB\", \"1GiB\", \"10MB\", or a whole number of bytes, or \"off\"",
        ),
        (
            "[deploy]\ncompile_cache = false",
            "wharf.toml: deploy.compile_cache: boolean `false` cannot stand here; allowed: a limit, \
             or \"off\"",
        ),
        (
            "[log]\nformat = \"jsn\"",
            "wharf.toml: log.format: \"jsn\" is unknown, did you mean \"json\"?; allowed: \
             \"text\", \"json\"",
        ),
        (
            "http = 3",
            "wharf.toml: http: integer `3` cannot stand here; allowed: a table",
        ),
        (
            "http = [3]",
            "wharf.toml: http: a list cannot stand here; allowed: a table",
        ),
    ] {
        assert_eq!(refused(text), message);
    }
    assert!(
        refused("[log]\nlevel = \"wharf=loud\"")
            .starts_with("wharf.toml: log.level: \"wharf=loud\" is not a filter (")
    );
}
