//! Services over instances that are no WebAssembly: each does what its request's path says.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, AtomicUsize};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::BodyExt;

use super::exit::{Death, Exit, ExitReason};
use super::failover::Refusal;
use super::launch::{Ended, Launch, Seat};
use super::pool::PoolLimits;
use super::status::ServiceState;
use super::supervisor::Crew;
use super::*;
use crate::body::{ReplayBody, full};
use crate::config::{Config, Replay};
use crate::dispatch::{
    Attempt, AttemptError, DispatchError, Effect, Exchange, Head, Job, Noted, RequestId, Work,
};

/// What the instances of one test share.
#[derive(Default)]
struct Stage {
    runs: AtomicUsize,
    starts: AtomicUsize,
    fail_to_start: AtomicBool,
    healed: AtomicBool,
}

struct Actors(Arc<Stage>);

impl Launch for Actors {
    fn concurrency(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn run(&self, seat: Seat) -> BoxFuture<'static, Ended> {
        let stage = Arc::clone(&self.0);
        Box::pin(async move {
            stage.starts.fetch_add(1, Ordering::SeqCst);
            if stage.fail_to_start.load(Ordering::SeqCst) {
                return Ended::quietly(Exit::plain(ExitReason::Start, "broken"));
            }
            let Seat {
                mut inbox, ready, ..
            } = seat;
            let _ = ready.send(());
            while let Some(attempt) = inbox.recv().await {
                stage.runs.fetch_add(1, Ordering::SeqCst);
                let blameless = attempt.particulars.tries > 1;
                if let Some(reason) = act(&stage, attempt).await {
                    let exit = Exit::plain(reason, "as told");
                    return Ended {
                        blameless,
                        ..Ended::quietly(exit)
                    };
                }
            }
            Ended::quietly(Exit::plain(ExitReason::Retired, "retired"))
        })
    }
}

/// Plays one request; returns what the instance died of.
async fn act(stage: &Stage, attempt: Attempt) -> Option<ExitReason> {
    let Work::Http(Exchange {
        head,
        reader,
        reply,
        ..
    }) = attempt.work
    else {
        return None;
    };
    let path = head.uri.path().to_owned();
    let first = attempt.particulars.tries == 1;
    let dies = match path.as_str() {
        "/trap" => !stage.healed.load(Ordering::SeqCst),
        "/trap-once" | "/read-then-trap-once" => first,
        "/write-then-trap" => {
            let effects = &attempt.particulars.effects;
            effects.record(Effect::Write).unwrap();
            true
        }
        "/sleep" => {
            tokio::time::sleep(Duration::from_secs(2)).await;
            false
        }
        _ => false,
    };
    let body = if path == "/trap-once" && first {
        Bytes::new()
    } else {
        reader
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default()
    };
    if dies {
        let _ = reply.send(Err(AttemptError::Died(Death::of(ExitReason::Trap))));
        return Some(ExitReason::Trap);
    }
    let _ = reply.send(Ok(Box::new(Response::new(full(body)))));
    None
}

fn manifest(count: usize) -> Manifest {
    let name = "a".parse().unwrap();
    let mut manifest = Manifest::default_for(&name, &Config::default());
    manifest.instances.count = NonZeroUsize::new(count).unwrap();
    manifest.restart.max_failures = NonZeroU32::new(2).unwrap();
    manifest
}

async fn release(
    service: &Service,
    ledger: &Arc<Ledger>,
    stage: &Arc<Stage>,
    manifest: Manifest,
) -> Result<Arc<Release>, Exit> {
    let info = Arc::new(ReleaseInfo {
        service: service.name.clone(),
        revision: 1,
        digest: "d".into(),
        made: SystemTime::now(),
    });
    let pool = Pool::new(PoolLimits::of(&manifest, NonZeroUsize::MIN));
    let (supervisor, warm) = Supervisor::start(Crew {
        pool: Arc::clone(&pool),
        launcher: Arc::new(Actors(Arc::clone(stage))),
        count: manifest.instances.count,
        restart: manifest.restart.clone(),
        release: Arc::clone(&info),
        ledger: Arc::clone(ledger),
        metrics: service.metrics.clone(),
        share: Arc::clone(&service.share),
    });
    warm.await.unwrap().map(|()| {
        Arc::new(Release {
            ward: Ward::new(manifest.failover.quarantine),
            info,
            manifest,
            pool,
            supervisor,
        })
    })
}

struct Scene {
    service: Arc<Service>,
    ledger: Arc<Ledger>,
    stage: Arc<Stage>,
    release: Arc<Release>,
}

async fn scene(manifest: Manifest) -> Scene {
    let ledger = Ledger::new(Gate::new(1, 1));
    let service = Service::new("a".parse().unwrap(), &ledger);
    let stage = Arc::new(Stage::default());
    let release = release(&service, &ledger, &stage, manifest).await.unwrap();
    service.publish(Some(Arc::clone(&release)));
    Scene {
        service,
        ledger,
        stage,
        release,
    }
}

fn job(method: Method, path: &str, body: &'static str) -> Job {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .body(())
        .unwrap();
    Job {
        id: RequestId::random(),
        head: Box::new(Head::new(Box::new(request.into_parts().0))),
        body: ReplayBody::new(full(body), 1024, 4096),
        deadline: Instant::now() + Duration::from_secs(30),
        lane: Lane::default(),
        caller: None,
        noted: Noted::default(),
    }
}

impl Scene {
    async fn ask(&self, path: &str) -> Result<Bytes, DispatchError> {
        let response = self
            .service
            .dispatch(&self.release, &job(Method::POST, path, "hello"))
            .await?;
        Ok(response.into_body().collect().await.unwrap().to_bytes())
    }

    fn runs(&self) -> usize {
        self.stage.runs.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_job_is_run_again_with_its_whole_body() {
    let scene = scene(manifest(2)).await;
    assert_eq!(scene.ask("/trap-once").await.unwrap(), "hello");
    assert_eq!(scene.ask("/read-then-trap-once").await.unwrap(), "hello");
    assert_eq!(scene.service.metrics.replays.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_job_with_an_effect_is_never_run_twice() {
    let scene = scene(manifest(2)).await;
    let error = scene.ask("/write-then-trap").await.unwrap_err();
    assert!(
        matches!(
            error,
            DispatchError::Interrupted {
                verdict: Refusal::Effects,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(scene.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_manifest_can_forbid_replays() {
    let mut manifest = manifest(2);
    manifest.failover.replay = Replay::Never;
    let scene = scene(manifest).await;
    let error = scene.ask("/trap-once").await.unwrap_err();
    assert!(
        matches!(
            error,
            DispatchError::Interrupted {
                verdict: Refusal::Policy,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_always_kills_is_tried_three_times() {
    let scene = scene(manifest(2)).await;
    let error = scene.ask("/trap").await.unwrap_err();
    assert!(
        matches!(
            error,
            DispatchError::Interrupted {
                verdict: Refusal::Tries,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(scene.runs(), 3);
    assert_eq!(
        scene.ask("/").await.unwrap(),
        "hello",
        "the pool is up again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_opens_the_breaker_which_recovers_by_itself() {
    let scene = scene(manifest(2)).await;
    let mut broken = None;
    for _ in 0..5 {
        if let Err(DispatchError::Broken { retry_after }) = scene.ask("/trap").await {
            broken = Some(retry_after);
            break;
        }
    }
    assert!(
        broken.is_some_and(|after| after <= Duration::from_secs(10)),
        "{broken:?}"
    );
    assert_eq!(scene.service.status().state, ServiceState::Broken);
    let runs = scene.runs();
    assert!(matches!(
        scene.ask("/").await,
        Err(DispatchError::Broken { .. })
    ));
    assert_eq!(scene.runs(), runs, "nothing is run while the service rests");

    scene.stage.healed.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(scene.ask("/trap").await.unwrap(), "hello");
    while scene.service.status().state != ServiceState::Ready {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_service_recovers_without_a_request() {
    let scene = scene(manifest(2)).await;
    while !matches!(scene.ask("/trap").await, Err(DispatchError::Broken { .. })) {}
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(scene.service.status().state, ServiceState::Ready);
    assert_eq!(scene.service.status().instances.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_to_start_says_so() {
    let ledger = Ledger::new(Gate::new(1, 1));
    let service = Service::new("a".parse().unwrap(), &ledger);
    let stage = Arc::new(Stage::default());
    stage.fail_to_start.store(true, Ordering::SeqCst);
    let exit = release(&service, &ledger, &stage, manifest(3))
        .await
        .err()
        .unwrap();
    assert_eq!(
        (exit.reason, exit.message.as_str()),
        (ExitReason::Start, "broken")
    );
}

#[tokio::test(start_paused = true)]
async fn a_swap_serves_what_waits_with_the_successor() {
    let scene = scene(manifest(1)).await;
    let busy = async { scene.ask("/sleep").await };
    let swap = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let next = release(&scene.service, &scene.ledger, &scene.stage, manifest(1))
            .await
            .unwrap();
        let old = scene.service.publish(Some(next)).unwrap();
        old.supervisor
            .drain(Instant::now() + Duration::from_secs(30));
        tokio::task::yield_now().await;
        // routed by a table from before the swap
        let late = scene.ask("/").await;
        old.supervisor.ended().await;
        late
    };
    let (busy, late) = tokio::join!(busy, swap);
    assert_eq!(busy.unwrap(), "hello");
    assert_eq!(late.unwrap(), "hello");
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_too_long_is_ended() {
    let scene = scene(manifest(1)).await;
    let asked = async { scene.ask("/sleep").await };
    let drained = async {
        tokio::task::yield_now().await;
        scene.service.publish(None);
        scene
            .release
            .supervisor
            .drain(Instant::now() + Duration::from_millis(500));
        scene.release.supervisor.ended().await;
    };
    let (answer, ()) = tokio::join!(asked, drained);
    assert!(answer.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_killed_instance_is_replaced_and_its_request_run_again() {
    let scene = scene(manifest(1)).await;
    let asked = async { scene.ask("/sleep").await };
    let killed = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let id = scene.service.status().instances[0].id;
        assert!(scene.release.supervisor.kill(id).await);
        assert!(!scene.release.supervisor.kill(InstanceId(999)).await);
    };
    let (answer, ()) = tokio::join!(asked, killed);
    assert_eq!(answer.unwrap(), "hello");
    assert_eq!(scene.ledger.exits.snapshot()[0].reason, ExitReason::Killed);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_the_wait_in_the_queue() {
    let scene = scene(manifest(1)).await;
    let busy = scene.ask("/sleep");
    let late = async {
        tokio::task::yield_now().await;
        let mut job = job(Method::GET, "/", "");
        job.deadline = Instant::now() + Duration::from_secs(1);
        scene.service.dispatch(&scene.release, &job).await.err()
    };
    let (busy, late) = tokio::join!(busy, late);
    assert!(busy.is_ok());
    assert!(matches!(late, Some(DispatchError::Deadline)), "{late:?}");
}
