//! Who is asking, and how often they may.

pub mod actor;
pub mod keys;
pub mod limit;
pub mod password;
pub mod role;
pub mod secret;
pub mod sessions;
pub mod token;
