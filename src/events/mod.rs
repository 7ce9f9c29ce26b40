//! Facts: what they are, who is shown what of them, how they are chained into the log and sent out.
//! Imports no feature.

pub mod audience;
pub mod departure;
pub mod dispatcher;
pub mod event;
pub mod following;
pub mod listener;
pub mod live;
pub mod log;
pub mod public;
pub mod recent;
pub mod replay;
pub mod room;
pub mod view;
