//! nginx with a fixed answer: about what the load generator can drive at all.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::{Setting, printed};

pub(super) fn command(setting: Setting<'_>) -> Result<Command> {
    let Setting { addr, dir, .. } = setting;
    let config = format!(
        r#"daemon off;
worker_processes 2;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    server {{
        listen {addr};
        location = /hello {{ return 200 "Hello, World!"; }}
    }}
}}
"#
    );
    fs::write(dir.join("nginx.conf"), config)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(dir).args(["-c", "nginx.conf"]);
    Ok(command)
}

pub(super) fn version() -> Result<String> {
    printed(Command::new("nginx").arg("-v"))
}
