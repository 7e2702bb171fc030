//! What about a service needs the operator, in sentences.

use anstyle::Style;

use super::super::api::{Canary, Held, Quarantined, Service};
use super::super::text::{BAD, QUIET, WARN, age, line, short};

/// Something that the operator should know, or decide.
pub(in crate::cli) struct Need {
    /// How bad it is.
    pub(in crate::cli) style: Style,
    /// What it is and what to do; one harmless line.
    pub(in crate::cli) text: String,
}

/// All of them, the worst first. `now` is in seconds since 1970.
pub(in crate::cli) fn needs(service: &Service, now: f64) -> Vec<Need> {
    let name = line(&service.name);
    let ago = |at: f64| format!("{} ago", age(now - at));
    let mut needs = Vec::new();
    let mut add = |style, text: String| {
        needs.push(Need {
            style,
            text: line(&text),
        });
    };
    if service.state == "broken" {
        let text = format!("broken: instances end as soon as they start; see `wharf exits {name}`");
        add(BAD, text);
    }
    if let Some(error) = &service.last_deploy_error {
        add(BAD, format!("refused {}: {}", ago(error.at), error.message));
    }
    if let Some(back) = &service.taken_back {
        let digest = short(&back.digest);
        let (revision, when) = (back.revision, ago(back.at));
        add(
            BAD,
            format!(
                "release {revision} ({digest}) was taken back {when}: {}",
                back.reason
            ),
        );
    }
    if let Some(held) = &service.held {
        add(WARN, held_text(held, &name, &age(now - held.at)));
    }
    if service.frozen {
        add(
            WARN,
            format!("you hold new releases; `wharf resume {name}` takes them again"),
        );
    }
    if let Some((first, others)) = service.quarantine.split_first() {
        add(WARN, quarantine_text(first, others.len()));
    }
    if let Some(canary) = &service.canary {
        add(QUIET, canary_text(canary, now));
    }
    needs
}

fn held_text(held: &Held, name: &str, waits: &str) -> String {
    let digest = short(&held.digest);
    let why = if !held.message.is_empty() {
        held.message.clone()
    } else if held.added.is_empty() {
        format!(
            "held by {}",
            if held.why.is_empty() {
                "the host"
            } else {
                &held.why
            }
        )
    } else {
        format!("it asks for {}, too", held.added.join(", "))
    };
    format!("{digest} has been held for {waits}: {why}; `wharf resume {name}` takes it")
}

fn quarantine_text(first: &Quarantined, others: usize) -> String {
    let more = match others {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    let refused = match first.refused_for_seconds {
        Some(rest) if rest > 0.0 => format!("is refused for another {}", age(rest)),
        _ => "is under suspicion".to_owned(),
    };
    format!(
        "{} {refused}: it ended {} instances ({} refused so far){more}",
        first.line, first.kills, first.refused
    )
}

fn canary_text(canary: &Canary, now: f64) -> String {
    format!(
        "release {} ({}) is on trial with {:.0} % for another {}: {} of {} failed, {} of {} in the release before it",
        canary.revision,
        short(&canary.digest),
        canary.share * 100.0,
        age(canary.ends_at - now),
        canary.failures,
        canary.requests,
        canary.running_failures,
        canary.running_requests,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(document: &str) -> Vec<String> {
        let service: Service = serde_json::from_str(document).unwrap();
        needs(&service, 1000.0)
            .into_iter()
            .map(|need| need.text)
            .collect()
    }

    #[test]
    fn a_healthy_service_needs_nobody() {
        assert!(texts(r#"{"name":"login","state":"ready"}"#).is_empty());
    }

    #[test]
    fn each_need_says_what_to_do() {
        let held = r#"{"name":"a","held":{"digest":"ab12cd34ef","at":940,"why":"capabilities","added":["wasi:keyvalue/store"]}}"#;
        assert_eq!(
            texts(held),
            [
                "ab12cd34 has been held for 60s: it asks for wasi:keyvalue/store, too; `wharf resume a` takes it"
            ]
        );
        let frozen = texts(r#"{"name":"a","frozen":true}"#);
        assert_eq!(
            frozen,
            ["you hold new releases; `wharf resume a` takes them again"]
        );
        let broken = texts(r#"{"name":"a","state":"broken"}"#);
        assert!(broken[0].contains("`wharf exits a`"), "{broken:?}");
    }

    #[test]
    fn a_canary_and_a_quarantine_say_how_long() {
        let canary = r#"{"canary":{"revision":8,"digest":"ab12cd34ef","ends_at":1240,"share":0.1,"requests":310,
            "failures":2,"running_requests":2790,"running_failures":3}}"#;
        assert_eq!(
            texts(canary),
            [
                "release 8 (ab12cd34) is on trial with 10 % for another 4m00s: 2 of 310 failed, 3 of 2790 in the release before it"
            ]
        );
        let quarantine = r#"{"quarantine":[{"line":"POST /login","kills":3,"refused":12,"refused_for_seconds":41.2},{}]}"#;
        assert_eq!(
            texts(quarantine),
            [
                "POST /login is refused for another 41s: it ended 3 instances (12 refused so far); and 1 more"
            ]
        );
    }

    #[test]
    fn what_a_compiler_said_stays_one_harmless_line() {
        let error = "{\"last_deploy_error\":{\"at\":990,\"message\":\"bad\\nworse \\u001b[2J\"}}";
        assert_eq!(texts(error), ["refused 10s ago: bad worse \\x1b[2J"]);
    }
}
