use proptest::prelude::*;

use super::{Conflict, Pattern, Table};
use crate::config::ServiceName;

fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

/// A table of services with one route each, which finds the text of the route.
fn table(patterns: &[&'static str]) -> Table<&'static str> {
    let entries = patterns.iter().enumerate().map(|(index, text)| {
        (
            service(&format!("s{index}")),
            vec![text.parse().unwrap()],
            *text,
        )
    });
    Table::build(entries).unwrap()
}

#[test]
fn a_prefix_matches_by_whole_segments() {
    let table = table(&["/login"]);
    for path in [
        "/login",
        "/login/",
        "/login/session",
        "/login//x",
        "/%6c%6Fgin",
    ] {
        assert_eq!(table.find(None, path), Some(&"/login"), "{path}");
    }
    for path in [
        "/",
        "",
        "*",
        "login",
        "/loginx",
        "/Login",
        "//login",
        "/x/login",
        "/login%2Fx",
    ] {
        assert_eq!(table.find(None, path), None, "{path}");
    }
}

#[test]
fn the_root_matches_every_path() {
    let table = table(&["/"]);
    for path in ["/", "//", "/a/b", "/%"] {
        assert_eq!(table.find(Some("any.host"), path), Some(&"/"), "{path}");
    }
    assert_eq!(table.find(None, "*"), None);
}

#[test]
fn an_exact_pattern_matches_one_path() {
    let table = table(&["= /health", "= /", "= /a/"]);
    assert_eq!(table.find(None, "/health"), Some(&"= /health"));
    assert_eq!(table.find(None, "/health/"), None);
    assert_eq!(table.find(None, "/"), Some(&"= /"));
    assert_eq!(table.find(None, "//"), None);
    assert_eq!(table.find(None, "/a/"), Some(&"= /a/"));
    assert_eq!(table.find(None, "/a"), None);
}

#[test]
fn a_star_matches_any_one_segment_that_is_not_empty() {
    let table = table(&["/users/*/posts"]);
    assert!(table.find(None, "/users/joe/posts/1").is_some());
    assert!(table.find(None, "/users/*/posts").is_some());
    for path in [
        "/users/posts",
        "/users//posts",
        "/users/a/b/posts",
        "/users/joe",
    ] {
        assert_eq!(table.find(None, path), None, "{path}");
    }
}

#[test]
fn among_paths_the_one_that_says_most_wins() {
    let table = table(&[
        "/", "/a", "/a/*", "/a/b", "/*/b/c", "= /*/x", "/a/x", "/a/*/d", "/*/b/d",
    ]);
    for (path, pattern) in [
        ("/z", "/"),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/a/z", "/a/*"),
        ("/a/b", "/a/b"),
        ("/a/b/z", "/a/b"),
        // Longer before more literal: the search must not stop at `/a/b`.
        ("/a/b/c", "/*/b/c"),
        // Exact before literal.
        ("/a/x", "= /*/x"),
        ("/a/x/y", "/a/x"),
        // The literal that comes first decides.
        ("/a/b/d", "/a/*/d"),
    ] {
        assert_eq!(table.find(None, path), Some(&pattern), "{path}");
    }
}

#[test]
fn among_hosts_the_one_that_says_most_wins() {
    let table = table(&[
        "/",
        "/deep/er",
        "*.example.com/",
        "*.b.example.com/",
        "api.example.com/v1",
        "10.0.0.1/",
        "[::1]/",
    ]);
    for (host, path, pattern) in [
        (None, "/", "/"),
        (Some("example.com"), "/", "/"),
        (Some(".example.com"), "/", "/"),
        (Some("x.example.com"), "/", "*.example.com/"),
        (Some("X.Example.COM."), "/", "*.example.com/"),
        (Some("y.x.example.com"), "/", "*.example.com/"),
        (Some("a.b.example.com"), "/", "*.b.example.com/"),
        (Some("b.example.com"), "/", "*.example.com/"),
        (Some("api.example.com"), "/v1/x", "api.example.com/v1"),
        // No path of the exact host matches: the next one has its turn.
        (Some("api.example.com"), "/v2", "*.example.com/"),
        // The host comes before the path.
        (Some("x.example.com"), "/deep/er", "*.example.com/"),
        (Some("10.0.0.1"), "/", "10.0.0.1/"),
        (Some("[::1]"), "/", "[::1]/"),
        (Some("[0:0:0:0:0:0:0:1]"), "/", "[::1]/"),
        (Some("[nonsense"), "/", "/"),
        (Some(""), "/", "/"),
    ] {
        assert_eq!(table.find(host, path), Some(&pattern), "{host:?} {path}");
    }
    let endless = "a.".repeat(10_000) + "example.com";
    assert_eq!(table.find(Some(&endless), "/"), Some(&"/"));
}

#[test]
fn a_conflict_names_both_services() {
    let entries = |second: &str| {
        [
            (
                service("login"),
                vec!["/a".parse().unwrap(), "/login".parse().unwrap()],
                (),
            ),
            (service(second), vec!["/%6Cogin".parse().unwrap()], ()),
        ]
    };
    let conflict = Table::build(entries("signin")).unwrap_err();
    assert_eq!(
        conflict,
        Conflict {
            pattern: "/login".parse().unwrap(),
            first: service("login"),
            second: service("signin"),
        }
    );
    assert_eq!(
        conflict.to_string(),
        "the route \"/login\" is claimed by both login and signin; give one of them other routes in \
         its manifest"
    );
    let twice = vec!["/x".parse().unwrap(), "/x".parse().unwrap()];
    assert_eq!(
        Table::build([(service("login"), twice, ())])
            .unwrap_err()
            .to_string(),
        "the route \"/x\" is named twice by login; remove one"
    );
    // What differs in anything is no conflict.
    table(&["/x", "= /x", "/*", "a.b/x", "*.a.b/x", "= a.b/x"]);
}

#[test]
fn routes_are_listed_with_their_services() {
    let patterns = vec!["/a".parse().unwrap(), "h.x/b".parse().unwrap()];
    let table = Table::build([(service("one"), patterns, 1), (service("two"), vec![], 2)]).unwrap();
    let listed: Vec<_> = table
        .routes()
        .map(|(pattern, service)| format!("{pattern} {service}"))
        .collect();
    assert_eq!(listed, ["/a one", "h.x/b one"]);
}

/// The rules again, on text and without any structure: whether a pattern matches, and if so its
/// rank, which is greater the more it says.
fn rank(pattern: &str, host: Option<&str>, path: &str) -> Option<impl Ord + use<>> {
    let (exact, pattern) = match pattern.strip_prefix("= ") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (pattern_host, pattern_path) = pattern.split_once('/').unwrap();
    let host_rank = if pattern_host.is_empty() {
        (0, 0)
    } else if let Some(suffix) = pattern_host.strip_prefix("*.") {
        if !host?.ends_with(&format!(".{suffix}")) {
            return None;
        }
        (1, suffix.split('.').count())
    } else if host? == pattern_host {
        (2, 0)
    } else {
        return None;
    };
    let path: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let wanted: Vec<&str> = match (pattern_path, exact) {
        ("", false) => Vec::new(),
        _ => pattern_path.split('/').collect(),
    };
    if wanted.len() > path.len() || (exact && wanted.len() != path.len()) {
        return None;
    }
    let same = |(wanted, got): (&&str, &&str)| wanted == got || (*wanted == "*" && !got.is_empty());
    if !wanted.iter().zip(&path).all(same) {
        return None;
    }
    let literal: Vec<bool> = wanted.iter().map(|segment| *segment != "*").collect();
    Some((host_rank, exact, wanted.len(), literal))
}

fn pattern() -> impl Strategy<Value = String> {
    let host = prop_oneof![3 => Just(""), 1 => Just("a.b"), 1 => Just("*.b"), 1 => Just("*.a.b")];
    let path = prop_oneof![1 => Just(String::new()), 9 => "[ab*](/[ab*]){0,3}"];
    (any::<bool>(), host, path)
        .prop_map(|(exact, host, path)| format!("{}{host}/{path}", if exact { "= " } else { "" }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn finds_what_comparing_all_patterns_finds(
        patterns in prop::collection::btree_set(pattern(), 0..20),
        requests in prop::collection::vec(
            (prop::option::of("(a\\.){0,3}b"), "/([ab]?(/[ab]?){0,4})"),
            1..20,
        ),
    ) {
        let entries = patterns.iter().enumerate().map(|(index, text)| {
            (service(&format!("s{index}")), vec![text.parse().unwrap()], text)
        });
        let table = Table::build(entries).unwrap();
        for (host, path) in requests {
            let host = host.as_deref();
            let ranked = patterns.iter().filter_map(|text| Some((rank(text, host, &path)?, text)));
            let expected = ranked.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, text)| text);
            prop_assert_eq!(table.find(host, &path).copied(), expected, "{:?} {}", host, path);
        }
    }

    #[test]
    fn spelling_makes_no_difference(
        path in "(/[a-z~._-]{1,4}){1,3}",
        encode in prop::collection::vec(any::<bool>(), 1..8),
        upper: bool,
    ) {
        let respelled: String = path
            .chars()
            .zip(encode.iter().cycle())
            .map(|(c, encode)| match (c, *encode, upper) {
                ('/', _, _) | (_, false, _) => c.to_string(),
                (_, true, true) => format!("%{:02X}", u32::from(c)),
                (_, true, false) => format!("%{:02x}", u32::from(c)),
            })
            .collect();
        if let Ok(pattern) = path.parse::<Pattern>() {
            prop_assert_eq!(respelled.parse(), Ok(pattern.clone()));
            let table = Table::build([(service("a"), vec![pattern], ())]).unwrap();
            prop_assert!(table.find(Some("a"), &respelled).is_some());
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "=? ?[a0.*\\[:]{0,4}(/[a%4ä.*]{0,4}){0,3}", path: String) {
        if let Ok(pattern) = text.parse::<Pattern>() {
            prop_assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()));
            let table = Table::build([(service("a"), vec![pattern], ())]).unwrap();
            let _ = table.find(Some(&path), &text);
            let _ = table.find(Some(&text), &format!("/{path}"));
        }
    }
}
