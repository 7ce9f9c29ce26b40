//! One integration binary: the real application, a port of its own, a clock that is moved by hand.

#![allow(missing_docs, clippy::missing_errors_doc, reason = "tests are named after what people see")]

mod auth;
mod bad_input;
mod canoe;
mod cassettes;
mod certification;
#[path = "../chaos/mod.rs"]
mod chaos;
mod connections;
mod differential;
mod golden;
mod gpf2017;
mod indoor;
mod ingest;
mod keys;
mod limits;
mod live;
mod masking;
mod officers;
mod offline;
mod operation;
mod past;
mod postgres;
mod presence;
mod preview;
mod public_socket;
mod publication;
mod rehearsal;
mod resume;
mod rights;
mod sessions;
mod setup;
mod stages;
pub mod support;
mod tidy;
