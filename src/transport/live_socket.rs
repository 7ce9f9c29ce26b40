//! The namespace of the public: whoever comes joins the rooms of events and races by name, and is told what anyone is.
//!
//! Invariants: no room here has the name of one of the scoring plane; a draft event is not there; the answer to a join says
//! from where on nothing is missed.

use super::catalog::live::LIVE_CLIENT_EVENTS;
use super::connection::{Connections, Guest};
use super::request::{client_address, peer};
use super::socket::{Payload, Wanted, listener, see_off};
use crate::app::App;
use crate::command::parse;
use crate::error::{ErrorView, Refusal};
use crate::events::dispatcher::Outlet;
use crate::events::following::Following;
use crate::events::listener::{Ack, Listener};
use crate::events::room::{LIVE_PATH, LiveRoom};
use crate::ids::{EventId, RaceId};
use crate::metrics::Counted;
use crate::wire::weave::Namespace;
use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{Event, SocketRef};
use socketioxide::handler::ConnectHandler;
use std::future::ready;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Opens the live plane.
pub fn open(app: &App, io: &SocketIo, outlet: Outlet, connections: Connections) {
    let places = Arc::new(Semaphore::new(app.config.live_sockets_max.min(Semaphore::MAX_PERMITS)));
    let door = Door { app: app.clone(), io: io.clone(), outlet, connections, places };
    let admit = move |socket: SocketRef| {
        let admitted = door.admit(&socket);
        async move { admitted }
    };
    let nothing_more = |_: SocketRef| ready(());
    io.ns(LIVE_PATH, nothing_more.with(admit));
}

/// An event, or a race.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    event_id: Option<EventId>,
    #[serde(default)]
    race_id: Option<RaceId>,
}

/// A place among the sockets of the public, given back with the socket.
#[derive(Clone)]
struct Placed {
    _permit: Arc<OwnedSemaphorePermit>,
}

#[derive(Clone)]
struct Door {
    app: App,
    io: SocketIo,
    outlet: Outlet,
    connections: Connections,
    places: Arc<Semaphore>,
}

impl Door {
    fn admit(&self, socket: &SocketRef) -> Result<(), Refusal> {
        let outcome = self.let_in(socket);
        let word = outcome.as_ref().map_or_else(|refusal| refusal.code().as_str(), |()| "accepted");
        self.app.metrics.connections_total.with_label_values(&["live", word]).inc();
        outcome
    }

    fn let_in(&self, socket: &SocketRef) -> Result<(), Refusal> {
        let parts = socket.req_parts();
        let address = client_address(&self.app, peer(parts), &parts.headers);
        self.app.limits.anonymous_handshake(address)?;
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_all_taken| {
            self.app.metrics.live_rejected.with_label_values(&["full"]).inc();
            Refusal::TooManyConnections
        })?;
        let listener = listener(socket, Namespace::Live);
        if let Some(guest) = parts.extensions.get::<Guest>() {
            guest.leaves();
        }
        socket.extensions.insert(Placed { _permit: Arc::new(permit) });
        socket.extensions.insert(Counted::one(self.app.metrics.connections_active.with_label_values(&["live"])));
        self.attend(&listener, address);
        listener.awaits_greeting();
        Ok(())
    }

    /// Registers what listens to the socket. Everything is done in the call, so in the order it was asked for.
    fn attend(&self, listener: &Listener, address: IpAddr) {
        let (socket, door) = (&listener.socket, self.clone());
        socket.on_fallback(
            move |socket: SocketRef, Event(event): Event, Payload(payload): Payload, Wanted(ack): Wanted| {
                let answer = door.answer(&socket, &event, &payload, address);
                door.reply(&socket, ack, &event, answer);
                ready(())
            },
        );
        see_off(&self.app, &self.io, &self.connections, listener, || {});
        let departure = listener.departure().clone();
        socket.extensions.insert(Following::new(departure.left()));
        let outlet = self.outlet.clone();
        socket.on_disconnect(move |socket: SocketRef| {
            // In the call, so that it joins nothing more; the rest when whoever holds the books is done.
            departure.leaves();
            let outlet = outlet.clone();
            async move { outlet.forget_public(&socket) }
        });
    }

    fn answer(&self, socket: &SocketRef, event: &str, payload: &str, address: IpAddr) -> Result<Value, Refusal> {
        self.app.limits.public_read(address, 1)?;
        let payload: Value = serde_json::from_str(payload).map_err(|wrong| Refusal::invalid("", wrong))?;
        let (seq, epoch) = match event {
            "joinPublicEvent" => self.outlet.join_public(socket, &event_room(payload)?)?,
            "leavePublicEvent" => self.outlet.leave_public(socket, &event_room(payload)?)?,
            "joinRoom" => self.outlet.join_public(socket, &rooms(payload)?)?,
            "leaveRoom" => self.outlet.leave_public(socket, &rooms(payload)?)?,
            _ => return Err(Refusal::InvalidEvent),
        };
        Ok(json!({ "seq": seq, "epoch": epoch }))
    }

    /// The founding document's clients read `ok` beside the rest.
    fn reply(&self, socket: &SocketRef, ack: Option<Ack>, event: &str, answer: Result<Value, Refusal>) {
        let known = LIVE_CLIENT_EVENTS.iter().map(|known| known.name).find(|known| *known == event);
        let name = known.unwrap_or("unknown");
        let outcome = if answer.is_ok() { "ok" } else { "refused" };
        self.app.metrics.socket_events.with_label_values(&[name, "in", outcome]).inc();
        let said = match answer {
            Ok(mut said) => {
                said["ok"] = json!(true);
                said
            }
            Err(refusal) => {
                let correlation = self.app.chance.id(self.app.clock.now()).to_string();
                let error = ErrorView::of(&refusal, Some(event), correlation);
                if ack.is_none() {
                    return self.outlet.send(socket, "error", &error);
                }
                json!({ "ok": false, "error": error })
            }
        };
        if let Some(ack) = ack {
            self.outlet.acknowledge(socket, ack, &said);
        }
    }
}

fn event_room(payload: Value) -> Result<[LiveRoom; 1], Refusal> {
    let Named { event_id, .. } = parse(payload)?;
    Ok([LiveRoom::Event(event_id.ok_or_else(|| Refusal::invalid("event_id", "is missing"))?)])
}

fn rooms(payload: Value) -> Result<Vec<LiveRoom>, Refusal> {
    let Named { event_id, race_id } = parse(payload)?;
    let rooms: Vec<LiveRoom> = event_id.map(LiveRoom::Event).into_iter().chain(race_id.map(LiveRoom::Race)).collect();
    if rooms.is_empty() { Err(Refusal::invalid("race_id", "neither a race nor an event is named")) } else { Ok(rooms) }
}
