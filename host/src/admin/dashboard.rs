//! The page that an operator looks at. It is in the binary, whole: it loads nothing from elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Admin, no_page};

/// A file of the page.
struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

/// Only what comes from here, and no code in the page itself: whatever a guest gets into a name or a
/// message does nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($name:literal, $kind:expr) => {
        Asset {
            name: $name,
            kind: $kind,
            content: include_bytes!(concat!("dashboard/", $name)),
        }
    };
}

const PAGE: Asset = asset!("index.html", "text/html; charset=utf-8");

const ASSETS: &[Asset] = &[
    asset!("actions.js", JAVASCRIPT),
    asset!("api.js", JAVASCRIPT),
    asset!("app.css", "text/css; charset=utf-8"),
    asset!("canary.js", JAVASCRIPT),
    asset!("charts.js", JAVASCRIPT),
    asset!("detail.js", JAVASCRIPT),
    asset!("dom.js", JAVASCRIPT),
    asset!("events.js", JAVASCRIPT),
    asset!("exits.js", JAVASCRIPT),
    asset!("favicon.svg", "image/svg+xml"),
    asset!("format.js", JAVASCRIPT),
    asset!("gauge.js", JAVASCRIPT),
    asset!("instance-table.js", JAVASCRIPT),
    asset!("instances.js", JAVASCRIPT),
    asset!("logs.js", JAVASCRIPT),
    asset!("main.js", JAVASCRIPT),
    asset!("marks.js", JAVASCRIPT),
    asset!("measures.js", JAVASCRIPT),
    asset!("notices.js", JAVASCRIPT),
    asset!("overview.js", JAVASCRIPT),
    asset!("quarantine.js", JAVASCRIPT),
    asset!("releases.js", JAVASCRIPT),
    asset!("section.js", JAVASCRIPT),
    asset!("series.js", JAVASCRIPT),
    asset!("services.js", JAVASCRIPT),
    asset!("sse.js", JAVASCRIPT),
    asset!("store.js", JAVASCRIPT),
    asset!("theme.js", JAVASCRIPT),
];

/// The page and what it needs.
pub(super) fn router() -> Router<Arc<Admin>> {
    Router::new()
        .route("/", get(async || PAGE.respond()))
        .route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    found.map_or_else(|| no_page().into_response(), Asset::respond)
}

impl Asset {
    fn respond(&self) -> Response {
        let headers: [(HeaderName, &str); 5] = [
            (CONTENT_TYPE, self.kind),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            // another version of the server has another page
            (CACHE_CONTROL, "no-cache"),
        ];
        (headers, self.content).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_page_asks_for_is_there() {
        let known = |name: &str| ASSETS.iter().any(|asset| asset.name == name);
        for asset in ASSETS.iter().chain([&PAGE]) {
            let text = String::from_utf8_lossy(asset.content);
            let modules = text.split("from \"./").skip(1);
            let linked = text.split("\"/assets/").skip(1);
            for rest in modules.chain(linked) {
                let name = rest.split('"').next().unwrap();
                assert!(known(name), "{} asks for {name}", asset.name);
            }
        }
    }
}
