//! Settings as an operator is shown them: all that hold, in the words and units in which they are
//! written, and nothing that may be secret.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::raw::{show_duration, show_size};
use super::{AccessOutput, Config, Grants, Isolation, Key, LogFormat, Manifest, Replay, Rollout};

impl Config {
    /// The settings by section, as `wharf.toml` would have them.
    pub fn shown(&self) -> Value {
        let (http, deploy, sandbox, log) = (&self.http, &self.deploy, &self.sandbox, &self.log);
        json!({
            "services": self.services,
            "data": self.data,
            "listen": self.listen,
            "admin": self.admin,
            "http": {
                "max_connections": http.max_connections,
                "header_timeout": span(http.header_timeout),
                "idle_timeout": span(http.idle_timeout),
                "max_header_bytes": size(http.max_header_bytes),
                "max_headers": http.max_headers,
                "max_concurrent_streams": http.max_concurrent_streams,
            },
            "drain": { "grace": span(self.drain.grace) },
            "deploy": {
                "quiet": span(deploy.quiet),
                "max_component_size": size(deploy.max_component_size),
                "parallel_compiles": deploy.parallel_compiles,
                "compile_timeout": span(deploy.compile_timeout),
                "compile_memory": bytes(deploy.compile_memory),
                "drain": span(deploy.drain),
                "compile_cache": deploy.compile_cache.map_or_else(|| "off".to_owned(), bytes),
                "keep_releases": deploy.keep_releases,
            },
            "sandbox": {
                "max_instances": sandbox.max_instances,
                "max_memory": size(sandbox.max_memory),
            },
            "log": {
                "format": form(log.format),
                "level": log.level,
                "guest_lines_per_second": log.guest_lines_per_second,
                "guest_line_bytes": size(log.guest_line_bytes),
            },
            "access_log": {
                "output": match &self.access_log.output {
                    AccessOutput::Off => "off".into(),
                    AccessOutput::Stdout => "stdout".into(),
                    AccessOutput::Stderr => "stderr".into(),
                    AccessOutput::File(path) => path.display().to_string(),
                },
                "format": form(self.access_log.format),
            },
        })
    }
}

impl Manifest {
    /// The settings by section, as `NAME.toml` would have them. Of what the guest is told only the names
    /// are there.
    pub fn shown(&self) -> Value {
        let (instances, limits, restart) = (&self.instances, &self.limits, &self.restart);
        let routes: Vec<_> = self.routes.iter().map(ToString::to_string).collect();
        json!({
            "routes": routes,
            "isolation": match self.isolation {
                Isolation::Instance => "instance",
                Isolation::Request => "request",
            },
            "weight": self.weight,
            "instances": {
                "count": instances.count,
                "concurrency": instances.concurrency,
                "max_requests": or_unlimited(instances.max_requests),
                "max_memory_before_retire": instances.max_memory_before_retire.map(size),
            },
            "limits": {
                "memory": size(limits.memory),
                "timeout": span(limits.timeout),
                "request_body": match limits.request_body {
                    u64::MAX => "unlimited".to_owned(),
                    limit => bytes(limit),
                },
                "replay_body": size(limits.replay_body),
                "queue": limits.queue,
                "queue_wait": span(limits.queue_wait),
                "start": span(limits.start),
            },
            "grants": self.grants.shown(),
            "failover": {
                "replay": match self.failover.replay {
                    Replay::Safe => "safe",
                    Replay::Idempotent => "idempotent",
                    Replay::Never => "never",
                },
                "quarantine": match self.failover.quarantine {
                    Duration::ZERO => "off".to_owned(),
                    first => span(first),
                },
            },
            "restart": {
                "backoff_min": span(restart.backoff_min),
                "backoff_max": span(restart.backoff_max),
                "max_failures": restart.max_failures,
                "window": span(restart.window),
                "cooldown": span(restart.cooldown),
            },
            "rollout": self.rollout.as_ref().map(Rollout::shown),
        })
    }
}

impl Grants {
    fn shown(&self) -> Value {
        let names = |settings: &std::collections::BTreeMap<String, super::Setting>| {
            let shown = settings
                .keys()
                .map(|name| (name.clone(), json!("(not shown)")));
            Value::Object(shown.collect::<Map<_, _>>())
        };
        let http: Vec<_> = self.http.iter().map(ToString::to_string).collect();
        let services: Vec<_> = self.services.iter().map(ToString::to_string).collect();
        json!({
            "keyvalue": self.keyvalue,
            "config": names(&self.config),
            "env": names(&self.env),
            "http": http,
            "services": services,
        })
    }
}

impl Rollout {
    fn shown(&self) -> Value {
        json!({
            "canary": format!("{}%", self.canary.part() * 100.0),
            "for": span(self.lasts),
            "max_failures": self.max_failures,
            "by": match &self.by {
                Key::Address => "address".to_owned(),
                Key::Request => "request".to_owned(),
                Key::Header(name) => format!("header {name}"),
            },
        })
    }
}

fn form(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}

/// Without the quotation marks of a message.
fn span(duration: Duration) -> String {
    show_duration(duration).trim_matches('"').to_owned()
}

fn size(number: usize) -> String {
    bytes(u64::try_from(number).unwrap_or(u64::MAX))
}

fn bytes(number: u64) -> String {
    show_size(number).trim_matches('"').to_owned()
}

fn or_unlimited(limit: Option<std::num::NonZeroU64>) -> Value {
    limit.map_or_else(|| json!("unlimited"), |limit| json!(limit))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let text = "[grants.config]\nkey = 's3cret'\n[grants.env]\nTOKEN = 's3cret'\n[rollout]\ncanary = '12.5%'";
        let name = "login".parse().unwrap();
        let manifest = Manifest::parse(&name, Path::new("login.toml"), text, &Config::default());
        let shown = manifest.unwrap().shown();
        assert!(!shown.to_string().contains("s3cret"), "{shown}");
        assert_eq!(shown["grants"]["config"]["key"], "(not shown)");
        assert_eq!(shown["limits"]["timeout"], "30s");
        assert_eq!(shown["rollout"]["canary"], "12.5%");
    }

    /// An operator who copies what is shown into a file has the same settings.
    #[test]
    fn what_is_shown_of_a_server_reads_back() {
        let config = Config::default();
        let shown = toml::to_string(&config.shown()).unwrap();
        assert_eq!(
            Config::parse(Path::new("wharf.toml"), &shown).unwrap(),
            config
        );
    }
}
