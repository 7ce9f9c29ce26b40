//! The database: how it is opened, what its rows look like, how a batch is written.

pub mod connect;
pub mod entity;
pub mod generation;
pub mod row;
pub mod store;
