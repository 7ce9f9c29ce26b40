//! The part of `docs/events.md` that tells of `GET /ws`: what becomes of recordings, made of samples of the messages.

use super::live::{json, shape};
use crate::clock::Micros;
use crate::transport::cassette_socket::{Listed, Message};
use std::fmt::Write;

/// One of each message, with everything or with as little as can be.
fn messages(bare: bool) -> [(&'static str, Message); 4] {
    let timestamp = Micros(0);
    let cassette = || Listed {
        name: "final".into(),
        description: Some("the finals".into()).filter(|_| !bare),
        recorded_at: Micros(0),
        interactions_count: 0,
    };
    [
        ("one was made", Message::CassetteCreated { cassette: cassette(), timestamp }),
        (
            "it was begun, ended, described, or is full, which its description then says; its count has grown, at most \
                twice a second",
            Message::CassetteUpdated { cassette: cassette(), timestamp },
        ),
        ("one was removed", Message::CassetteDeleted { name: "final".into(), timestamp }),
        (
            "a hundred messages waited for this listener: all there are, in their stead",
            Message::CassetteListReset { cassettes: vec![cassette()], timestamp },
        ),
    ]
}

/// Writes the section.
pub(super) fn section(page: &mut String) -> anyhow::Result<()> {
    page.push_str(
        "\n# Recordings\n\n## `GET /ws`: what becomes of them\n\nA plain WebSocket for whoever is signed in: the token comes as \
            `Sec-WebSocket-Protocol: scorecast, bearer.<jwt>`, or as `Authorization: Bearer`, else 401 before the upgrade; \
            no cookie is read. A listener is told of the recordings they may read at that moment. Pinged at once and every \
            30 s; pings are answered, other messages ignored. Closed with 1008 when the session has ended.\n\n\
            | message | when | fields |\n|---|---|---|\n",
    );
    for ((when, whole), (_, bare)) in messages(false).iter().zip(&messages(true)) {
        let (whole, bare) = (json(whole)?, json(bare)?);
        let kind = whole["type"].as_str().unwrap_or_default();
        let shape = shape(&whole, &bare).replace("type: text", &format!("type: \"{kind}\""));
        writeln!(page, "| `{kind}` | {when} | `{shape}` |")?;
    }
    Ok(())
}
