//! `GET /ws`: what becomes of recordings, for whoever is signed in.
//!
//! Invariant: nobody is told of a recording they may not read; a listener that falls behind is told the whole list.

#![allow(clippy::missing_errors_doc, reason = "the interface description of the handler lists its errors")]

use super::live::{Socket, Upgrade, close};
use super::problem::{ApiError, Problem};
use super::request::bearer;
use crate::app::App;
use crate::auth::actor::Actor;
use crate::cassettes::tapes::Tapes;
use crate::cassettes::{self, CassetteView, bound_to, may_read};
use crate::clock::Micros;
use crate::error::Refusal;
use crate::events::dispatcher::Outlet;
use crate::events::event::{CassetteChange, CassetteChanged};
use crate::ids::UserId;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, header};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::tungstenite::Message as Frame;

/// How often a listener is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How often it is asked whether its session still stands.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The protocol clients name beside their token.
const PROTOCOL: &str = "scorecast";
/// The code of a session that has ended (RFC 6455, 7.4.1: policy).
const POLICY: u16 = 1008;

/// A recording as a listener is told of it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the contract explains each field")]
pub struct Listed {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub recorded_at: Micros,
    pub interactions_count: i64,
}

/// What a listener is told.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type")]
#[allow(missing_docs, reason = "the contract explains each message")]
#[allow(clippy::enum_variant_names, reason = "they are the words on the wire")]
pub enum Message {
    CassetteCreated { cassette: Listed, timestamp: Micros },
    CassetteUpdated { cassette: Listed, timestamp: Micros },
    CassetteDeleted { name: String, timestamp: Micros },
    CassetteListReset { cassettes: Vec<Listed>, timestamp: Micros },
}

fn text(message: &Message) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

/// The token that is offered as a protocol: `scorecast, bearer.<jwt>`.
fn offered(headers: &HeaderMap) -> (Option<&'static str>, Option<&str>) {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    let offers: Vec<&str> = offers.flat_map(|value| value.split(',')).map(str::trim).collect();
    let token = offers.iter().find_map(|offer| offer.strip_prefix("bearer."));
    (offers.contains(&PROTOCOL).then_some(PROTOCOL), token)
}

/// What becomes of recordings: `CassetteCreated`, `CassetteUpdated`, `CassetteDeleted`, and the whole list for who fell
/// behind. The token comes as `Sec-WebSocket-Protocol: scorecast, bearer.<jwt>` or as `Authorization: Bearer`.
#[utoipa::path(get, path = "/ws", tag = "cassettes",
    responses((status = 101, description = "a WebSocket"), (status = 401, body = Problem)))]
pub async fn listen(
    State(app): State<App>,
    Extension(outlet): Extension<Outlet>,
    Extension(tapes): Extension<Tapes>,
    headers: HeaderMap,
    upgrade: Result<Upgrade, ApiError>,
) -> Result<Response<Body>, ApiError> {
    let (protocol, token) = offered(&headers);
    let token = token.or_else(|| bearer(&headers)).ok_or(Refusal::AuthRequired)?;
    let (actor, until) = app.admit_until(token).await?;
    let user = actor.user()?.clone();
    let mut upgrade = upgrade?;
    upgrade.protocol = protocol;
    let served = app.clone();
    upgrade.accept(&app, move |socket, connection| async move {
        let hung_up = connection.hung_up().clone();
        let listener = Listener { app: served, actor, user, until, tapes, socket };
        let gone = tokio::select! {
            gone = listener.serve(&outlet) => gone,
            () = hung_up.cancelled() => Ok(()),
        };
        if let Err(error) = gone {
            tracing::debug!(%error, "a listener is gone");
        }
    })
}

struct Listener {
    app: App,
    actor: Actor,
    user: UserId,
    until: Micros,
    tapes: Tapes,
    socket: Socket,
}

type WireError = tokio_tungstenite::tungstenite::Error;

impl Listener {
    async fn serve(mut self, outlet: &Outlet) -> Result<(), WireError> {
        let (mut facts, mut counts) = (outlet.cassettes.subscribe(), self.tapes.listen());
        let mut ping = tokio::time::interval(PING_EVERY);
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                incoming = self.socket.next() => match incoming {
                    None => return Ok(()),
                    Some(Err(error)) => return Err(error),
                    // The library answers pings; there is nothing to be said here.
                    Some(Ok(_)) => {}
                },
                news = facts.recv() => match news {
                    Ok((fact, at)) => self.say(self.news(&fact, at)).await?,
                    Err(RecvError::Lagged(_)) => {
                        self.app.metrics.slow_consumers.with_label_values(&["cassettes", "list"]).inc();
                        self.say(Some(self.everything())).await?;
                    }
                    Err(RecvError::Closed) => return Ok(()),
                },
                count = counts.recv() => match count {
                    Ok((name, at)) => self.say(self.updated(&name, at)).await?,
                    // The next count is as good.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
                _ = ping.tick() => self.socket.send(Frame::Ping(Vec::new().into())).await?,
                _ = look.tick() => if !self.may_stay() {
                    return self.socket.send(close(POLICY, "Session ended")).await;
                },
            }
        }
    }

    fn may_stay(&self) -> bool {
        let now = self.app.clock.now();
        now < self.until && self.actor.must_be_signed_in(&self.app.state(), now).is_ok()
    }

    async fn say(&mut self, said: Option<Message>) -> Result<(), WireError> {
        match said {
            // Nothing goes out after the session has ended, however late the next look is.
            Some(said) if self.may_stay() => self.socket.send(Frame::Text(text(&said).into())).await,
            Some(_) | None => Ok(()),
        }
    }

    fn news(&self, fact: &CassetteChanged, timestamp: Micros) -> Option<Message> {
        match (fact.change, &fact.gone) {
            (CassetteChange::Created, _) => {
                Some(Message::CassetteCreated { cassette: self.readable(&fact.name)?, timestamp })
            }
            (CassetteChange::Updated, _) => self.updated(&fact.name, timestamp),
            (CassetteChange::Deleted, Some(gone)) => may_read(&self.app.state(), &self.user, gone)
                .then(|| Message::CassetteDeleted { name: fact.name.clone(), timestamp }),
            (CassetteChange::Deleted, None) => None,
        }
    }

    fn view(&self, mut view: CassetteView) -> Listed {
        self.tapes.count_in(&mut view);
        let CassetteView { name, description, recorded_at, interactions_count, .. } = view;
        Listed { name, description, recorded_at, interactions_count }
    }

    fn readable(&self, name: &str) -> Option<Listed> {
        let state = self.app.state();
        let row = state.cassettes.get(name).filter(|row| may_read(&state, &self.user, &bound_to(row)))?;
        Some(self.view(CassetteView::of(row)))
    }

    fn updated(&self, name: &str, timestamp: Micros) -> Option<Message> {
        Some(Message::CassetteUpdated { cassette: self.readable(name)?, timestamp })
    }

    fn everything(&self) -> Message {
        let cassettes = cassettes::list(&self.app.state(), &self.user).into_iter().map(|view| self.view(view));
        Message::CassetteListReset { cassettes: cassettes.collect(), timestamp: self.app.clock.now() }
    }
}
