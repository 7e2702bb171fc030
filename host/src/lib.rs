//! Wharf: an application server for WebAssembly components.
//!
//! A request comes in through [`ingress`], which checks it, finds its route in the table of
//! [`router`], and gives it an id and a deadline. One service's request to another comes in through
//! [`calls`]. [`exchange`] has either answered. [`dispatch`] names what then travels: a job, and for
//! each try an attempt. [`service`] finds a place in an instance, hands the attempt over, and if the
//! instance dies under it, decides whether another may have it. [`wasm`] runs the instances; only
//! there is wasmtime named. What a guest keeps is in [`keyvalue`], and its way out in [`network`]. [`deploy`] watches the services
//! directory and swaps releases; [`admin`] and [`telemetry`] show what goes on; [`config`] is what the
//! operator wrote, checked. [`app`] puts all of it together, on [`threads`], and [`drain`] ends it.

pub mod admin;
pub mod app;
pub mod body;
pub mod calls;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deploy;
pub mod dispatch;
pub mod drain;
pub mod exchange;
pub mod fields;
pub mod ingress;
pub mod keyvalue;
pub mod network;
pub mod processor;
pub mod router;
pub mod service;
pub mod telemetry;
pub mod threads;
pub mod wasm;
