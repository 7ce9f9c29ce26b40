//! File descriptors: as many as there may be connections, with room for all of them from the start.

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::AsFd;

/// What else is open, at most: databases, recordings, what threads wait by.
const OTHERS_MAX: u64 = 1_024;

/// Has the system allow as many descriptors as `connections_max` need, as far as it does, and make room for them beside `any`.
///
/// Programs begin with 1,024 where nobody says otherwise, and with room for few. Linux doubles that as they come, and lets
/// whoever accepts wait each time until no other thread can be looking at the old table, some 15 ms (`expand_fdtable` in its
/// `fs/file.c`): for ten thousand who come at once that was a tenth of the time.
pub fn make_room(any: impl AsFd, connections_max: usize) {
    let wanted = u64::try_from(connections_max).unwrap_or(u64::MAX).saturating_add(OTHERS_MAX);
    match allow(wanted) {
        Ok(allowed) => {
            if allowed < wanted {
                tracing::warn!(
                    allowed,
                    wanted,
                    "the system allows fewer open files than CONNECTIONS_MAX needs (ulimit -n)"
                );
            }
            let last = i32::try_from(allowed.min(wanted)).unwrap_or(i32::MAX) - 1;
            if let Err(error) = fcntl_dupfd_cloexec(any, last) {
                tracing::warn!(%error, "room for connections is made as they come");
            }
        }
        Err(error) => tracing::warn!(%error, "connections may be fewer than CONNECTIONS_MAX (ulimit -n)"),
    }
}

/// Raises our limit, if it is too low, as far as the system lets us; what it is then.
fn allow(wanted: u64) -> rustix::io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current.unwrap_or(u64::MAX);
    if current >= wanted {
        return Ok(current);
    }
    let raised = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum })?;
    Ok(raised)
}
