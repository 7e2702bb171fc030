//! Components that call one another, each in a store of its own.

mod concurrency;
mod limits;
mod mismatches;
mod peer;
mod refusals;
mod serve;
mod speed;
mod threads;
mod traps;
mod values;
mod wat;
