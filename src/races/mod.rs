//! Races: timed and run by boats, ergometers and horses, as their timing programs tell of them.

pub mod status;
