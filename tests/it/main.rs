//! One integration binary: the real application, a port of its own, a clock that is moved by hand.

#![allow(missing_docs, reason = "tests are named after what people see")]

mod gpf2017;
mod kill;
mod masking;
mod postgres;
pub mod support;
mod tidy;
