//! The harness of the end-to-end suites: it starts the real binary, surrounds it with scripted
//! clients and strict recording origins, and judges what both sides saw.
//!
//! ```text
//! client, load ──► proxy (the binary, one process per test) ──► origin (re-parses every byte)
//!                    ▲ settings (ringway.yaml)   ▲ admin (/metrics …)   ▲ process (/proc)
//! ```
//! `RINGWAY_BIN` names the binary; without it `cargo build -p ringway` is run once.
//! `RINGWAY_TESTS_DENY_URING=1` runs every uring cell in a process to which io_uring is denied.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a harness: a broken expectation is a failed test, with its message"
)]

pub mod admin;
pub mod bulk;
pub mod client;
pub mod h2;
pub mod judge;
pub mod kube;
pub mod load;
pub mod manifest;
pub mod matrix;
pub mod meaning;
pub mod network;
pub mod origin;
pub mod pair;
pub mod peer;
pub mod policy;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod reply;
pub mod response;
pub mod scratch;
pub mod settings;
pub mod strict;
pub mod sys;
pub mod tcp;
pub mod text;
pub mod tls;
pub mod vector;
pub mod wait;
