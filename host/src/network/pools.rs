//! The connections of one partition: one pool for each [`Reach`], so that a connection is found
//! again only by requests that might have opened it.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connector::{Connector, Room, Ways};
use super::reach::Reach;
use super::settings::Settings;
use super::upload::Upload;

/// A pool of connections, and how to open more.
pub(super) type Pool = Client<Connector, Upload>;

/// See the module.
pub(super) struct Pools {
    literal: Pool,
    localhost: Pool,
    name: Pool,
    below: Pool,
}

impl Pools {
    pub(super) fn new(settings: &Settings, ways: &Arc<Ways>) -> Self {
        let room = Arc::new(Room::new(settings.connections));
        let pool = |reach| {
            let connector = Connector::new(reach, Arc::clone(ways), Arc::clone(&room));
            client(settings).build(connector)
        };
        Self {
            literal: pool(Reach::Literal),
            localhost: pool(Reach::Localhost),
            name: pool(Reach::Name),
            below: pool(Reach::Below),
        }
    }

    pub(super) fn of(&self, reach: Reach) -> &Pool {
        match reach {
            Reach::Literal => &self.literal,
            Reach::Localhost => &self.localhost,
            Reach::Name => &self.name,
            Reach::Below => &self.below,
        }
    }
}

fn client(settings: &Settings) -> hyper_util::client::legacy::Builder {
    // hyper takes no less
    let head = settings.response_head.max(8192);
    let mut client = Client::builder(TokioExecutor::new());
    client
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(settings.idle)
        .pool_max_idle_per_host(settings.idle_per_host)
        .http1_max_buf_size(head)
        .http2_max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        // All requests to a host share one such connection, so one that is dead must be noticed
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10));
    client
}
