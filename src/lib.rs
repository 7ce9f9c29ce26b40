//! Scorecast: an authenticated, multi-role, real-time scoring backend for judged and timed events.
//!
//! A command comes in, is decided by a pure function, is written to one append-only log and answered; every live room,
//! catch-up, feed and recording is a reader of that log. `docs/ARCHITECTURE.md` walks through it.

pub mod app;
pub mod auth;
pub mod cassettes;
pub mod certification;
pub mod cli;
pub mod clock;
pub mod command;
pub mod commands;
pub mod config;
pub mod db;
pub mod demo;
pub mod error;
pub mod events;
pub mod evidence;
pub mod ids;
pub mod metrics;
pub mod notices;
pub mod preview;
pub mod publications;
pub mod races;
pub mod ranking;
pub mod rehearsal;
pub mod scores;
pub mod setup;
pub mod state;
pub mod tally;
pub mod transport;
pub mod traps;
pub mod wire;
pub mod writer;
