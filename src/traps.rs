//! Faults that are put back on purpose, so that a test can show that it would find them, and delays that make a race
//! likely.
//!
//! Invariant: without debug assertions no trap is ever set. With them a trap is set for one application alone, never for
//! a whole process, so that it cannot disturb what runs beside it.

use anyhow::bail;

/// A fault that can be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A frame that did not fit into the buffer of a socket is taken for sent.
    EmitDropIgnored,
    /// A socket is let into its rooms without a look whether it has gone.
    JoinAfterLeave,
    /// A socket is greeted some time after the library has let it in.
    GreetLate,
    /// What a socket asks for as it connects is taken up once a lane it was told of has been lost and given back.
    ResumeLate,
    /// A command is answered before it is on the disk.
    AckBeforeCommit,
    /// A command that is refused uses up a number of its lane.
    SeqBeforeCommit,
}

/// The faults of an application: none, or the one that is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traps(Option<Trap>);

impl Traps {
    /// One fault.
    #[must_use]
    pub fn of(trap: Trap) -> Self {
        Self(Some(trap))
    }

    /// Whether a fault is to be made.
    #[must_use]
    pub fn is_set(self, trap: Trap) -> bool {
        cfg!(debug_assertions) && self.0 == Some(trap)
    }

    /// The fault that `SCORECAST_TRAP` names: for tests of the whole program. A release does not look at it.
    ///
    /// # Errors
    /// When there is no such fault.
    #[expect(clippy::disallowed_methods, reason = "a fault is no setting: it must not stand in .env.example")]
    pub fn from_environment() -> anyhow::Result<Self> {
        if !cfg!(debug_assertions) {
            return Ok(Self::default());
        }
        let Ok(name) = std::env::var("SCORECAST_TRAP") else { return Ok(Self::default()) };
        Ok(Self::of(match name.as_str() {
            "emit_drop_ignored" => Trap::EmitDropIgnored,
            "join_after_leave" => Trap::JoinAfterLeave,
            "greet_late" => Trap::GreetLate,
            "resume_late" => Trap::ResumeLate,
            "ack_before_commit" => Trap::AckBeforeCommit,
            "seq_before_commit" => Trap::SeqBeforeCommit,
            _ => bail!("SCORECAST_TRAP names no trap"),
        }))
    }
}
