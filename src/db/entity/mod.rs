//! One file a table. Nothing here is `Serialize`: only views and facts reach the wire or the log.

#![allow(missing_docs, reason = "each file says what its row is; the columns are named in the users' words")]

pub mod api_key;
pub mod approval;
pub mod assignment;
pub mod cassette;
pub mod category;
pub mod certification;
pub mod command;
pub mod contest;
pub mod contest_lock;
pub mod contestant;
pub mod criterion;
pub mod decision;
pub mod entry;
pub mod event;
pub mod indoor_participant;
pub mod indoor_race;
pub mod judge_final;
pub mod lane;
pub mod log_entry;
pub mod log_head;
pub mod log_text;
pub mod mark;
pub mod notification;
pub mod publication;
pub mod race;
pub mod race_class;
pub mod race_participant;
pub mod race_report;
pub mod race_result;
pub mod race_split;
pub mod session;
pub mod sheet;
pub mod signature;
pub mod signing_key;
pub mod tie_break;
pub mod user;
