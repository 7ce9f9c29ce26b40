//! The doors: HTTP, Socket.IO, and the listening socket. Nothing is decided here, nothing is written, nothing emitted.

pub mod accept;
pub mod cassette_socket;
pub mod catalog;
pub mod connection;
pub mod descriptors;
pub mod guarded;
pub mod http;
mod line;
pub mod live;
pub mod live_socket;
pub mod problem;
pub mod request;
pub mod rest;
pub mod serve;
pub mod simulation;
pub mod socket;
pub mod sync;
