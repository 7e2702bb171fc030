//! The dashboard in a real browser.

use std::path::Path;
use std::process::Command;

use wharf_tests::{Wharf, test_guest};

/// Runs one of the scripts in `tests/browser`, which report as `node --test` does.
async fn browse(script: &str, wharf: Option<&Wharf>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    assert!(
        directory.join("node_modules/playwright-core").is_dir(),
        "what drives the browser is not installed; tests/run does so"
    );
    let mut command = Command::new("node");
    command.arg(script).current_dir(directory);
    if let Some(wharf) = wharf {
        let token = wharf.admin.token.clone().unwrap_or_default();
        command
            .env("ADMIN", format!("http://{}", wharf.admin.addr))
            .env("FRONT", format!("http://{}", wharf.front.addr))
            .env("TOKEN", token)
            .env("TWO", test_guest("hello-two"))
            .env("FAULT", crate::fault());
    }
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output
        .await
        .expect("it ends")
        .expect("node is installed; tests/run does so");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn an_operator_sees_and_does_all_that_the_page_offers() {
    browse("dashboard.mjs", None).await;
}

#[tokio::test]
async fn a_deploy_a_trap_and_a_canary_that_is_taken_back_are_seen() {
    let wharf = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .service("fault", crate::fault())
        .start()
        .await;
    browse("live.mjs", Some(&wharf)).await;
}
