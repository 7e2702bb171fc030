//! What there is to try, said when it can be tried.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::app::Serving;
use crate::config::ServiceName;

/// What a manifest's line begins with that shows how to call its service.
const TRY: &str = "# try:";

/// The address that such lines are written for.
const PLACEHOLDER: &str = "http://localhost:8080";

/// How soon after a service is up it is shown. Looking costs next to nothing.
const LOOK: Duration = Duration::from_millis(250);

/// Shows the services that are up, and again each that comes or changes its routes, for ever.
pub(super) async fn show(serving: Serving, (services, data): (PathBuf, PathBuf), guests: PathBuf) {
    let base = format!("http://{}", reachable(serving.address));
    let mut shown = live(&serving, &services, &base);
    let mut text: String = shown.values().map(String::as_str).collect();
    if shown.is_empty() {
        text += "\nnothing is served yet\n";
    }
    print(&format!(
        "{text}\nfor wharf status and the like: export WHARF_DATA={}\n{} is watched for changes; Ctrl-C ends\n",
        data.display(),
        guests.display()
    ));
    loop {
        tokio::time::sleep(LOOK).await;
        let now = live(&serving, &services, &base);
        let new = now
            .iter()
            .filter(|(name, text)| shown.get(*name) != Some(*text));
        let text: String = new.map(|(_, text)| text.as_str()).collect();
        if !text.is_empty() {
            print(&format!("{text}\n"));
        }
        shown = now;
    }
}

/// The services that are up, each as it is shown.
fn live(serving: &Serving, services: &Path, base: &str) -> BTreeMap<ServiceName, String> {
    let mut live = BTreeMap::new();
    for (name, service) in serving.catalog.load().iter() {
        if let Some(release) = service.current() {
            let routes: Vec<_> = release
                .manifest
                .routes
                .iter()
                .map(ToString::to_string)
                .collect();
            let manifest =
                std::fs::read_to_string(services.join(format!("{name}.toml"))).unwrap_or_default();
            live.insert(name.clone(), describe(name, &routes, &manifest, base));
        }
    }
    live
}

/// A service, its routes, and lines to try: those that its manifest has, or else one for each
/// route.
fn describe(name: &ServiceName, routes: &[String], manifest: &str, base: &str) -> String {
    let mut text = format!(
        "\n{name} at {}\n",
        if routes.is_empty() {
            "no route".to_owned()
        } else {
            routes.join(", ")
        }
    );
    let given: Vec<_> = manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix(TRY))
        .collect();
    let lines: Vec<_> = if given.is_empty() {
        routes.iter().map(|route| curl(route, base)).collect()
    } else {
        given
            .into_iter()
            .map(|line| line.trim().replace(PLACEHOLDER, base))
            .collect()
    };
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// A command that calls a route. `*` stands for anything, and so does `x`.
fn curl(route: &str, base: &str) -> String {
    let route = route.trim_start_matches("= ");
    let (host, path) = route.split_at(route.find('/').unwrap_or(route.len()));
    let url = quoted(&format!("{base}{}", path.replace('*', "x")));
    match host {
        "" => format!("curl -i {url}"),
        host => format!("curl -i -H 'Host: {}' {url}", host.replace('*', "x")),
    }
}

/// Text as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/%:".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The address under which this machine reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // nobody may be reading; that is no reason to stop serving
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "http://127.0.0.1:4711";

    #[test]
    fn every_kind_of_route_can_be_called() {
        for (route, line) in [
            ("/login", "curl -i http://127.0.0.1:4711/login"),
            ("= /health", "curl -i http://127.0.0.1:4711/health"),
            (
                "/users/*/posts",
                "curl -i http://127.0.0.1:4711/users/x/posts",
            ),
            (
                "*.example.com/",
                "curl -i -H 'Host: x.example.com' http://127.0.0.1:4711/",
            ),
            ("/a'b&c", r"curl -i 'http://127.0.0.1:4711/a'\''b&c'"),
        ] {
            assert_eq!(curl(route, BASE), line);
        }
    }

    #[test]
    fn a_manifest_says_better_what_to_try() {
        let name = ServiceName::parse("login").unwrap();
        let routes = ["/login".to_owned()];
        let manifest = "# What it does.\n# try: curl -i http://localhost:8080/login -d '{}'\n[grants]\n  # try: curl http://localhost:8080/login/session\n";
        assert_eq!(
            describe(&name, &routes, manifest, BASE),
            "\nlogin at /login\n  curl -i http://127.0.0.1:4711/login -d '{}'\n  curl http://127.0.0.1:4711/login/session\n"
        );
        assert_eq!(
            describe(&name, &routes, "", BASE),
            "\nlogin at /login\n  curl -i http://127.0.0.1:4711/login\n"
        );
        assert_eq!(describe(&name, &[], "", BASE), "\nlogin at no route\n");
    }

    #[test]
    fn a_wildcard_address_is_reached_locally() {
        let shown = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(shown("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(shown("[::]:80"), "[::1]:80");
        assert_eq!(shown("10.0.0.1:80"), "10.0.0.1:80");
    }
}
