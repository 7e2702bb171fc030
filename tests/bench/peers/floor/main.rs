//! The floor peer: the least that a server of components does which stands on hyper and wasmtime. Each
//! connection has an instance of its own, called in the connection's own task, in an event loop as Wharf
//! has them: no router, no pool, no deadline, no limit, and nothing is known of a request once it is
//! answered. What this costs more than the native peer are wasmtime, its `wasi:http` and the guest, which no
//! such server gets below.

#[path = "../loops.rs"]
mod loops;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use loops::Loops;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, oneshot};
use wasmtime::component::{Component, InstancePre, Linker, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};
use wasmtime_wasi_http::p3::Request as RequestThree;
use wasmtime_wasi_http::p3::bindings::{Service, ServicePre};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes of a memory or table that stay with the process, as in Wharf.
const KEEP_RESIDENT: usize = 2 << 20;

const USAGE: &str = "the arguments are the address to listen on, the component, its generation of \
                     `wasi:http` (0.2 or 0.3), what becomes of an instance after a request (reused \
                     or fresh), and how many instances there may be";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [addr, component, generation, after, most] = arguments.as_slice() else {
        bail!(USAGE);
    };
    let addr: SocketAddr = addr.parse().context(USAGE)?;
    let most = most.parse().context(USAGE)?;
    let maker = Arc::new(Maker::new(component, generation == "0.3", most)?);
    let fresh = after == "fresh";
    let listener = TcpListener::bind(addr).await?;
    let mut end = signal(SignalKind::terminate())?;
    let mut loops = Loops::start()?;
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            // in good order: a profile of it is written at its end
            _ = end.recv() => return Ok(()),
        };
        stream.set_nodelay(true)?;
        let maker = Arc::clone(&maker);
        loops.serve(stream, move |stream| serve(stream, maker, fresh))?;
    }
}

async fn serve(stream: TcpStream, maker: Arc<Maker>, fresh: bool) {
    // http1 never has two requests at once
    let kept = Arc::new(Mutex::new(None));
    let service = service_fn(move |request| {
        let (maker, kept) = (Arc::clone(&maker), Arc::clone(&kept));
        async move {
            let mut kept = kept.lock().await;
            let mut sandbox = match kept.take() {
                Some(sandbox) => sandbox,
                None => maker.sandbox().await?,
            };
            let answer = sandbox.answer(request).await?;
            if !fresh {
                *kept = Some(sandbox);
            }
            anyhow::Ok(answer)
        }
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that breaks off is no event here.
    let _ended = serving.await;
}

/// Makes sandboxes of one component.
struct Maker {
    engine: Engine,
    guest: GuestPre,
}

enum GuestPre {
    Two(ProxyPre<Host>),
    Three(ServicePre<Host>),
}

struct Sandbox {
    store: Store<Host>,
    guest: Guest,
}

enum Guest {
    Two(Proxy),
    Three(Service),
}

/// What a guest of a hello needs.
struct Host {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Alone,
}

/// Lets guests ask nobody.
struct Alone;

/// What becomes of a guest's own request: a response, and what its connection needs to be driven by.
type Sent = Result<(Response<WasiBody>, Io), Error>;
type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Alone {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl Maker {
    fn new(component: &str, three: bool, most: u32) -> Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(most);
        pool.total_core_instances(most.saturating_mul(8));
        pool.total_memories(most);
        pool.total_tables(most.saturating_mul(4));
        pool.total_stacks(most.saturating_mul(2));
        pool.total_gc_heaps(most);
        pool.linear_memory_keep_resident(KEEP_RESIDENT);
        pool.table_keep_resident(KEEP_RESIDENT);
        pool.pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        if three {
            config.wasm_component_model_async(true);
        } else {
            config.concurrency_support(false);
        }
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        if three {
            wasmtime_wasi::p3::add_to_linker(&mut linker)?;
            wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        }
        let component = Component::from_file(&engine, component)?;
        let pre: InstancePre<Host> = linker.instantiate_pre(&component)?;
        let guest = if three {
            GuestPre::Three(ServicePre::new(pre)?)
        } else {
            GuestPre::Two(ProxyPre::new(pre)?)
        };
        Ok(Self { engine, guest })
    }

    async fn sandbox(&self) -> Result<Sandbox> {
        let host = Host {
            table: ResourceTable::new(),
            wasi: WasiCtxBuilder::new().build(),
            http: WasiHttpCtx::new(),
            hooks: Alone,
        };
        let mut store = Store::new(&self.engine, host);
        let guest = match &self.guest {
            GuestPre::Two(pre) => Guest::Two(pre.instantiate_async(&mut store).await?),
            GuestPre::Three(pre) => Guest::Three(pre.instantiate_async(&mut store).await?),
        };
        Ok(Sandbox { store, guest })
    }
}

impl Sandbox {
    async fn answer(&mut self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let request = request.map(|body| body.map_err(|_| Error::ConnectionTerminated));
        match &self.guest {
            Guest::Two(guest) => {
                let (reply, answer) = oneshot::channel();
                let mut view = self.store.data_mut().http();
                let request = view.new_incoming_request(Scheme::Http, request)?;
                let reply = move |result| drop(reply.send(result));
                let out = view.new_response_outparam_from_callback(reply)?;
                let handler = guest.wasi_http_incoming_handler();
                handler.call_handle(&mut self.store, request, out).await?;
                // what the guests of these workloads write fits into the body's buffer
                collect(answer.await?.map_err(refused)?).await
            }
            Guest::Three(guest) => {
                let answer = self.store.run_concurrent(async |accessor| {
                    let (request, sent) = accessor.with(|mut store| {
                        let view = store.data_mut().http();
                        let (request, sent) = RequestThree::from_http(view.hooks, request);
                        // boxed, for its opaque type would borrow the store
                        let sent: BoxFuture<'static, Result<(), Error>> = Box::pin(sent);
                        view.table.push(request).map(|request| (request, sent))
                    })?;
                    let handler = guest.wasi_http_handler();
                    let response = handler.call_handle(accessor, request).await?;
                    let response = response.map_err(refused)?;
                    let response = accessor.with(|mut store| {
                        let response = store.data_mut().http().table.delete(response)?;
                        response.into_http(&mut store, sent)
                    })?;
                    collect(response).await
                });
                answer.await?
            }
        }
    }
}

fn refused(code: impl std::fmt::Debug) -> anyhow::Error {
    anyhow::anyhow!("the guest answered with {code:?}")
}

async fn collect(response: Response<WasiBody>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(refused)?;
    Ok(Response::from_parts(head, Full::new(body.to_bytes())))
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
