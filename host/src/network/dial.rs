//! One connection to one of several addresses. They are shuffled, so that many connections spread
//! over them, and tried in turn as RFC 8305 has it: IPv6 and IPv4 by turns, the next one as soon as
//! one fails or hasn't answered for a moment, with those before still in the race.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::Rng;
use rand::seq::SliceRandom;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::error::NetworkError;
use super::failure;

/// Bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens connections to addresses.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Connects to `address` and to nothing else. Called for addresses only that were checked.
    async fn dial(&self, address: SocketAddr) -> io::Result<Box<dyn Io>>;
}

/// TCP.
pub(super) struct Tcp;

#[async_trait]
impl Dial for Tcp {
    async fn dial(&self, address: SocketAddr) -> io::Result<Box<dyn Io>> {
        let stream = TcpStream::connect(address).await?;
        // Heads and frames are written whole, so waiting for more only costs time
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// How long an address has to itself before the next one is tried too (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// More addresses of one name than this are not tried for one connection.
const MOST: usize = 8;

/// Connects to the first of `addresses` that answers, in their order.
///
/// # Errors
///
/// That of the first address that gave one, or of a later one if that says more.
pub(super) async fn race(
    dial: &dyn Dial,
    addresses: Vec<SocketAddr>,
) -> Result<Box<dyn Io>, NetworkError> {
    let mut waiting = addresses.into_iter().take(MOST);
    let mut trying = FuturesUnordered::new();
    let mut failure = None;
    loop {
        trying.extend(waiting.next().map(|address| dial.dial(address)));
        let more = waiting.len() > 0;
        tokio::select! {
            tried = trying.next() => match tried {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => {
                    let error = failure::of_dial(&error);
                    // One family without a route is no news if the other has one
                    if matches!(failure, None | Some(NetworkError::IpUnroutable)) {
                        failure = Some(error);
                    }
                }
                None => return Err(failure.unwrap_or(NetworkError::DestinationNotFound)),
            },
            () = sleep(HEAD_START), if more => {}
        }
    }
}

/// Shuffles `addresses` within their families and puts these by turns, beginning with the family
/// that came first: the resolver knows which one has a route.
pub(super) fn order(addresses: Vec<SocketAddr>, random: &mut impl Rng) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == v6_first);
    first.shuffle(random);
    second.shuffle(random);
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let (one, other) = (first.next(), second.next());
        if one.is_none() && other.is_none() {
            return ordered;
        }
        ordered.extend(one);
        ordered.extend(other);
    }
}
