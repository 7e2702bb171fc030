//! One client's connection: HTTP/1.1, or HTTP/2 by prior knowledge (RFC 9113, 3.3).

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::debug;

use super::Ingress;
use super::wire::Strict;

/// How often an HTTP/2 client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Serves one connection until its client leaves, or until `stop` and the last request are over.
pub(super) async fn serve(
    ingress: &Arc<Ingress>,
    stream: TcpStream,
    mut stop: watch::Receiver<bool>,
) {
    // small answers go out at once; a failure here only makes them slower
    let _ = stream.set_nodelay(true);
    let builder = builder(ingress);
    // hyper's timers begin when it knows the protocol; this one begins with the connection
    let spoke = Arc::new(AtomicBool::new(false));
    let service = {
        let ingress = Arc::clone(ingress);
        let spoke = Arc::clone(&spoke);
        service_fn(move |request| {
            spoke.store(true, Ordering::Relaxed);
            let ingress = Arc::clone(&ingress);
            async move { Ok::<_, Infallible>(ingress.handle(request).await) }
        })
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Strict::new(stream)), service));
    let mut silence = pin!(sleep(ingress.limits.header_timeout));
    let mut waiting_for_first = true;
    let mut stopping = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(%error, "a connection ended early");
                }
                return;
            }
            () = silence.as_mut(), if waiting_for_first => {
                if !spoke.load(Ordering::Relaxed) {
                    debug!("a client sent no request in time");
                    return;
                }
                waiting_for_first = false;
            }
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(ingress: &Ingress) -> Builder<TokioExecutor> {
    let limits = &ingress.limits;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // also how long a connection may be idle between two requests
        .header_read_timeout(limits.idle_timeout.max(limits.header_timeout))
        .max_headers(limits.max_headers)
        .max_buf_size(limits.max_header_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}
