//! `wasi:keyvalue`, in both drafts that guests are built with, over the host's [`Bucket`]s.
//!
//! A write is recorded as an effect before it is asked for. Reads, refused buckets and calls that
//! fail their checks are none.

#![expect(
    unreachable_pub,
    reason = "the bindings re-export the types they are given"
)]

use std::sync::Arc;

use tracing::warn;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTableError};

use super::state::State;
use crate::dispatch::{Effect, Superseded};
use crate::keyvalue::{Bucket, KeyValueError, Swap, Versioned};
use crate::telemetry::otlp::{Parent, Span};

mod draft {
    wasmtime::component::bindgen!({
        path: "wit/keyvalue-draft",
        world: "imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::OpenBucket },
        trappable_error_type: { "wasi:keyvalue/store.error" => super::Failure },
    });
    pub(super) use wasi::keyvalue::{atomics, batch, store};
}

mod draft2 {
    wasmtime::component::bindgen!({
        path: "wit/keyvalue-draft2",
        world: "imports",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": super::OpenBucket,
            "wasi:keyvalue/atomics.cas": super::Cas,
        },
        trappable_error_type: {
            "wasi:keyvalue/store.error" => super::Failure,
            "wasi:keyvalue/atomics.cas-error" => super::CasFailure,
        },
    });
    pub(super) use wasi::keyvalue::{atomics, batch, store};
}

/// A bucket that a guest has open.
pub struct OpenBucket {
    bucket: Arc<dyn Bucket>,
    /// Where the pages of `list-keys` ended, for the draft whose cursors are numbers.
    page_ends: Vec<String>,
}

/// A compare-and-swap that a guest has begun.
pub struct Cas {
    bucket: Arc<dyn Bucket>,
    key: String,
    seen: Versioned,
}

/// Why a call failed, in the words that both drafts share.
pub enum Failure {
    AccessDenied,
    Other(String),
    Trap(wasmtime::Error),
}

/// Why a swap failed.
pub enum CasFailure {
    Store(Failure),
    Lost(Cas),
}

impl From<KeyValueError> for Failure {
    fn from(error: KeyValueError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<Superseded> for Failure {
    fn from(error: Superseded) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl<E: Into<Failure>> From<E> for CasFailure {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// `list-keys` pages that a guest may go back to in one open bucket.
const MAX_PAGES: usize = 10_000;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    draft::store::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    draft::atomics::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    draft::batch::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    draft2::store::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    draft2::atomics::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    draft2::batch::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl State {
    async fn open_bucket(&mut self, name: &str) -> Result<Resource<OpenBucket>, Failure> {
        if !self.blueprint.grants.keyvalue.contains(name) {
            if self.refusals.first(&format!("keyvalue {name}")) {
                warn!(service = %self.blueprint.service, bucket = name, manifest = %self.blueprint.manifest_file,
                    "a key-value bucket was refused; grants.keyvalue = [{name:?}] in the manifest would allow it");
            }
            return Err(Failure::AccessDenied);
        }
        let bucket = self.blueprint.reach.keyvalue.open(name).await?;
        Ok(self.table.push(OpenBucket {
            bucket,
            page_ends: Vec::new(),
        })?)
    }

    fn bucket(&self, handle: &Resource<OpenBucket>) -> Result<Arc<dyn Bucket>, Failure> {
        Ok(Arc::clone(&self.table.get(handle)?.bucket))
    }

    /// The bucket, with the write about to happen recorded.
    fn bucket_to_write(&self, handle: &Resource<OpenBucket>) -> Result<Arc<dyn Bucket>, Failure> {
        let bucket = self.bucket(handle)?;
        self.active.record(Effect::Write)?;
        Ok(bucket)
    }

    /// The span of a call to the host, part of the request that the guest is working on.
    fn span(&self, name: &'static str) -> Span {
        let tracer = &self.blueprint.reach.tracer;
        if !tracer.is_on() {
            return Span::none();
        }
        tracer.host_call(Parent(&self.active.trace(None)), name)
    }
}

/// Has the span end with the call.
async fn traced<T>(
    mut span: Span,
    call: impl Future<Output = Result<T, KeyValueError>>,
) -> Result<T, KeyValueError> {
    let outcome = call.await;
    if let Err(error) = &outcome {
        span.fail("keyvalue", error);
    }
    outcome
}

/// What is the same in both drafts but for the types that the bindings make.
macro_rules! store_and_batch {
    ($draft:ident) => {
        impl $draft::store::Host for State {
            async fn open(&mut self, identifier: String) -> Result<Resource<OpenBucket>, Failure> {
                self.open_bucket(&identifier).await
            }

            fn convert_error(
                &mut self,
                failure: Failure,
            ) -> wasmtime::Result<$draft::store::Error> {
                match failure {
                    Failure::AccessDenied => Ok($draft::store::Error::AccessDenied),
                    Failure::Other(message) => Ok($draft::store::Error::Other(message)),
                    Failure::Trap(error) => Err(error),
                }
            }
        }

        impl $draft::batch::Host for State {
            async fn get_many(
                &mut self,
                bucket: Resource<OpenBucket>,
                keys: Vec<String>,
            ) -> Result<Vec<Option<(String, Vec<u8>)>>, Failure> {
                let bucket = self.bucket(&bucket)?;
                let span = self.span("keyvalue.get_many");
                let values = traced(span, bucket.get_many(keys.clone())).await?;
                Ok(keys
                    .into_iter()
                    .zip(values)
                    .map(|(key, value)| value.map(|value| (key, value)))
                    .collect())
            }

            async fn set_many(
                &mut self,
                bucket: Resource<OpenBucket>,
                entries: Vec<(String, Vec<u8>)>,
            ) -> Result<(), Failure> {
                let bucket = self.bucket_to_write(&bucket)?;
                Ok(traced(self.span("keyvalue.set_many"), bucket.set_many(entries)).await?)
            }

            async fn delete_many(
                &mut self,
                bucket: Resource<OpenBucket>,
                keys: Vec<String>,
            ) -> Result<(), Failure> {
                let bucket = self.bucket_to_write(&bucket)?;
                Ok(traced(self.span("keyvalue.delete_many"), bucket.delete_many(keys)).await?)
            }
        }
    };
}

/// A bucket's own calls; the drafts differ in what a cursor is.
macro_rules! bucket_calls {
    ($draft:ident, $cursor:ty, $resume:ident, $page:ident) => {
        impl $draft::store::HostBucket for State {
            async fn get(
                &mut self,
                bucket: Resource<OpenBucket>,
                key: String,
            ) -> Result<Option<Vec<u8>>, Failure> {
                let bucket = self.bucket(&bucket)?;
                Ok(traced(self.span("keyvalue.get"), bucket.get(&key)).await?)
            }

            async fn set(
                &mut self,
                bucket: Resource<OpenBucket>,
                key: String,
                value: Vec<u8>,
            ) -> Result<(), Failure> {
                let bucket = self.bucket_to_write(&bucket)?;
                Ok(traced(self.span("keyvalue.set"), bucket.set(&key, value)).await?)
            }

            async fn delete(
                &mut self,
                bucket: Resource<OpenBucket>,
                key: String,
            ) -> Result<(), Failure> {
                let bucket = self.bucket_to_write(&bucket)?;
                Ok(traced(self.span("keyvalue.delete"), bucket.delete(&key)).await?)
            }

            async fn exists(
                &mut self,
                bucket: Resource<OpenBucket>,
                key: String,
            ) -> Result<bool, Failure> {
                let bucket = self.bucket(&bucket)?;
                Ok(traced(self.span("keyvalue.exists"), bucket.exists(&key)).await?)
            }

            async fn list_keys(
                &mut self,
                handle: Resource<OpenBucket>,
                cursor: Option<$cursor>,
            ) -> Result<$draft::store::KeyResponse, Failure> {
                let open = self.table.get_mut(&handle)?;
                let resume = cursor.map(|cursor| open.$resume(cursor)).transpose()?;
                let bucket = Arc::clone(&open.bucket);
                let page =
                    traced(self.span("keyvalue.list_keys"), bucket.list_keys(resume)).await?;
                let open = self.table.get_mut(&handle)?;
                let cursor = page.cursor.map(|end| open.$page(end)).transpose()?;
                Ok($draft::store::KeyResponse {
                    keys: page.keys,
                    cursor,
                })
            }

            async fn drop(&mut self, bucket: Resource<OpenBucket>) -> wasmtime::Result<()> {
                self.table.delete(bucket)?;
                Ok(())
            }
        }
    };
}

store_and_batch!(draft);
store_and_batch!(draft2);
bucket_calls!(draft, u64, numbered_start, number_page);
bucket_calls!(draft2, String, named_start, name_page);

impl OpenBucket {
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the twin of numbered_start"
    )]
    fn named_start(&self, cursor: String) -> Result<String, Failure> {
        Ok(cursor)
    }

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the twin of number_page"
    )]
    fn name_page(&self, end: String) -> Result<String, Failure> {
        Ok(end)
    }

    fn numbered_start(&self, cursor: u64) -> Result<String, Failure> {
        let index = usize::try_from(cursor)
            .ok()
            .and_then(|cursor| cursor.checked_sub(1));
        let end = index.and_then(|index| self.page_ends.get(index));
        end.cloned().ok_or_else(|| {
            Failure::Other("the cursor is not one that list-keys of this bucket gave".into())
        })
    }

    fn number_page(&mut self, end: String) -> Result<u64, Failure> {
        if self.page_ends.len() >= MAX_PAGES {
            return Err(Failure::Other(
                "too many pages; open the bucket anew".into(),
            ));
        }
        self.page_ends.push(end);
        Ok(self.page_ends.len() as u64)
    }
}

impl draft::atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
        delta: u64,
    ) -> Result<u64, Failure> {
        let delta = i64::try_from(delta).map_err(|_| KeyValueError::Overflow)?;
        let bucket = self.bucket_to_write(&bucket)?;
        let sum = traced(
            self.span("keyvalue.increment"),
            bucket.increment(&key, delta),
        )
        .await?;
        u64::try_from(sum).map_err(|_| KeyValueError::NotANumber.into())
    }
}

impl draft2::atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
        delta: i64,
    ) -> Result<i64, Failure> {
        let bucket = self.bucket_to_write(&bucket)?;
        Ok(traced(
            self.span("keyvalue.increment"),
            bucket.increment(&key, delta),
        )
        .await?)
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<(), CasFailure> {
        let Cas { bucket, key, seen } = self.table.delete(cas)?;
        self.active.record(Effect::Write)?;
        let call = bucket.swap(&key, seen.revision, value);
        match traced(self.span("keyvalue.swap"), call).await? {
            Swap::Done => Ok(()),
            Swap::Conflict(seen) => Err(CasFailure::Lost(Cas { bucket, key, seen })),
        }
    }

    fn convert_cas_error(
        &mut self,
        failure: CasFailure,
    ) -> wasmtime::Result<draft2::atomics::CasError> {
        use draft2::store::Host as _;
        match failure {
            CasFailure::Store(failure) => Ok(draft2::atomics::CasError::StoreError(
                self.convert_error(failure)?,
            )),
            CasFailure::Lost(cas) => {
                Ok(draft2::atomics::CasError::CasFailed(self.table.push(cas)?))
            }
        }
    }
}

impl draft2::atomics::HostCas for State {
    async fn new(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
    ) -> Result<Resource<Cas>, Failure> {
        let bucket = self.bucket(&bucket)?;
        let seen = traced(self.span("keyvalue.read"), bucket.read_for_swap(&key)).await?;
        Ok(self.table.push(Cas { bucket, key, seen })?)
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.table.get(&cas)?.seen.value.clone())
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}
