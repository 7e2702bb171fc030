//! What is asked of the servers, and what they must answer to be measured at all.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use wharf_tests::build::root;

use crate::client;

/// What one server is put up to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// `GET /hello`: 13 bytes.
    Hello,
    /// `POST /echo`: 1 KiB of JSON is parsed, changed and answered.
    Echo,
    /// `GET /down?bytes=N` and `POST /up`: large bodies.
    Stream,
}

impl Workload {
    /// Also the name of its guests and of its service.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Echo => "echo",
            Self::Stream => "stream",
        }
    }

    /// The file that is posted, if one is.
    pub(crate) fn posted(self) -> Option<PathBuf> {
        (self == Self::Echo).then(|| root().join("tests/bench/order.json"))
    }

    /// Asks once, and looks at the answer closely.
    pub(crate) fn check(self, addr: SocketAddr) -> Result<()> {
        match self {
            Self::Hello => {
                let answer = client::get(addr, "/hello")?;
                ensure!(answer.body == "Hello, World!", "it answered {answer:?}");
            }
            Self::Echo => {
                let posted = include_bytes!("../order.json");
                let answer = client::post(addr, "/echo", posted)?;
                let order: serde_json::Value = serde_json::from_slice(&answer.body)
                    .with_context(|| format!("it answered {answer:?}"))?;
                ensure!(
                    order["revision"] == 4 && order["total_cents"] == 200_298,
                    "it answered {answer:?}"
                );
            }
            Self::Stream => {
                let answer = client::get(addr, "/down?bytes=100000")?;
                let bytes = answer.body.len();
                ensure!(bytes == 100_000, "it answered {bytes} bytes, not 100000");
                let answer = client::post(addr, "/up", b"counted")?;
                ensure!(answer.body == "7", "it answered {answer:?}");
            }
        }
        Ok(())
    }
}
