//! What the steps of a request cost, one by one: `cargo bench -p wharf-bench`.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that can't be set up has nothing to say"
)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use divan::{Bencher, black_box};
use futures::future::BoxFuture;
use http::{Request, Response};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use wharf::body::{ReplayBody, empty};
use wharf::calls::Calls;
use wharf::config::{Config, Isolation, Manifest, ServiceName};
use wharf::dispatch::{Head, Job, Noted, RequestId, Work};
use wharf::keyvalue::EmbeddedStore;
use wharf::network::{Network, Settings};
use wharf::router::{Pattern, Table};
use wharf::service::balance::{Load, choose};
use wharf::service::exit::{Exit, ExitReason};
use wharf::service::gate::Gate;
use wharf::service::lane::Lane;
use wharf::service::launch::{Ended, Launch, Seat};
use wharf::service::nearness::Nearness;
use wharf::service::pool::{Pool, PoolLimits};
use wharf::service::quarantine::Ward;
use wharf::service::supervisor::{Crew, Supervisor};
use wharf::service::{Ledger, Release, ReleaseInfo, Service};
use wharf::telemetry::logbook::Logbook;
use wharf::telemetry::otlp::Tracer;
use wharf::wasm::{Launcher, Reach, Sandbox};
use wharf_tests::build::{build_guests, root};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

fn name(text: &str) -> ServiceName {
    text.parse().expect("the name is valid")
}

/// Finding one of so many services.
#[divan::bench(args = [1, 100, 1000])]
fn route(bencher: Bencher<'_, '_>, services: usize) {
    let services = (0..services).map(|number| {
        let name = name(&format!("service-{number}"));
        let patterns = vec![Pattern::for_service(&name)];
        (name, patterns, number)
    });
    let table = Table::build(services).expect("no two routes are the same");
    bencher.bench_local(|| {
        table
            .find(Some("localhost"), black_box("/service-0/and/more"))
            .copied()
    });
}

/// Choosing one of so many instances.
#[divan::bench(args = [2, 16, 256])]
fn balance(bencher: Bencher<'_, '_>, instances: usize) {
    let loads: Vec<_> = (0..instances)
        .map(|number| Load {
            in_flight: number % 3,
            capacity: 16,
            expected: 1000,
            probe: false,
            nearness: Nearness::Anywhere,
        })
        .collect();
    bencher.bench_local(|| choose(black_box(&loads).iter().copied(), 0, 1));
}

/// A service with one release, and a runtime for it.
struct Scene {
    runtime: Runtime,
    service: Arc<Service>,
    release: Arc<Release>,
}

impl Scene {
    fn new(
        manifest: Manifest,
        launcher: impl FnOnce(&Manifest, &ReleaseInfo) -> Arc<dyn Launch>,
    ) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the system gives a runtime");
        let ledger = Ledger::new(Gate::new(1, 1));
        let service = Service::new(name("bench"), &ledger);
        let info = Arc::new(ReleaseInfo {
            service: service.name.clone(),
            revision: 1,
            digest: "d".into(),
            made: SystemTime::now(),
        });
        let pool = Pool::new(PoolLimits::of(&manifest, NonZeroUsize::MIN));
        let supervisor = runtime.block_on(async {
            let (supervisor, warm) = Supervisor::start(Crew {
                pool: Arc::clone(&pool),
                launcher: launcher(&manifest, &info),
                count: manifest.instances.count,
                restart: manifest.restart.clone(),
                release: Arc::clone(&info),
                ledger: Arc::clone(&ledger),
                metrics: service.metrics.clone(),
                share: Arc::clone(&service.share),
            });
            let warm = warm.await.expect("the supervisor goes on");
            warm.expect("the instances start");
            supervisor
        });
        let release = Arc::new(Release {
            ward: Ward::new(manifest.failover.quarantine),
            info,
            manifest,
            pool,
            supervisor,
        });
        service.publish(Some(Arc::clone(&release)));
        Self {
            runtime,
            service,
            release,
        }
    }

    fn bench(&self, bencher: Bencher<'_, '_>) {
        bencher.bench_local(|| {
            let request = Request::get("http://localhost/").body(()).expect("valid");
            let job = Job {
                id: RequestId::random(),
                head: Box::new(Head::new(Box::new(request.into_parts().0))),
                body: ReplayBody::new(empty(), 0, 0),
                deadline: Instant::now() + Duration::from_secs(30),
                lane: Lane::default(),
                caller: None,
                noted: Noted::default(),
            };
            let answer = self.service.dispatch(&self.release, &job);
            self.runtime.block_on(answer).expect("there is an answer")
        });
    }
}

fn manifest(isolation: Isolation) -> Manifest {
    Manifest {
        isolation,
        ..Manifest::default_for(&name("bench"), &Config::default())
    }
}

/// Instances without WebAssembly: what is left is the way to them and back.
struct Echoes;

impl Launch for Echoes {
    fn concurrency(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn run(&self, mut seat: Seat) -> BoxFuture<'static, Ended> {
        Box::pin(async move {
            // the supervisor waits for it
            let _ = seat.ready.send(());
            while let Some(attempt) = seat.inbox.recv().await {
                if let Work::Http(exchange) = attempt.work {
                    let _ = exchange.reply.send(Ok(Box::new(Response::new(empty()))));
                }
            }
            Ended::quietly(Exit::plain(ExitReason::Retired, "no more attempts"))
        })
    }
}

/// The way of a job to an instance and back, without the instance.
#[divan::bench]
fn dispatch(bencher: Bencher<'_, '_>) {
    Scene::new(manifest(Isolation::Instance), |_, _| Arc::new(Echoes)).bench(bencher);
}

/// The same with a real guest behind it.
#[divan::bench(args = ["hello", "hello-p3"])]
fn instance_call(bencher: Bencher<'_, '_>, guest: &str) {
    guest_scene(guest, Isolation::Instance).bench(bencher);
}

/// And with a fresh one for each call.
#[divan::bench(args = ["hello", "hello-p3"])]
fn fresh_instance_call(bencher: Bencher<'_, '_>, guest: &str) {
    guest_scene(guest, Isolation::Request).bench(bencher);
}

fn guest_scene(guest: &str, isolation: Isolation) -> Scene {
    let guests = build_guests(&root().join("tests/bench/guests"));
    let bytes = std::fs::read(&guests[guest]).expect("the guest was built");
    let config = Config::default();
    let data = tempfile::tempdir().expect("there is a place for data");
    let keyvalue = EmbeddedStore::open(data.path()).expect("the store opens");
    Scene::new(manifest(isolation), |manifest, info| {
        let sandbox = Sandbox::new(&config.sandbox).expect("there is an engine");
        let component = sandbox.compile(&bytes).expect("the guest compiles");
        let pages = Logbook::default().open(&info.service);
        Arc::new(Launcher::new(
            sandbox,
            component,
            info,
            manifest,
            "bench.toml",
            (&config.log, pages),
            Reach {
                keyvalue: Arc::new(keyvalue),
                calls: Calls::new(Arc::default(), Tracer::off()),
                network: Network::new(Settings::default()).expect("there is TLS"),
                tracer: Tracer::off(),
            },
        ))
    })
}
