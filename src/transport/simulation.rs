//! The demo's make-believe: odds that move in the room of a race, and in the end a result. It is marked as such, stands in
//! no log and changes nothing.

use crate::app::App;
use crate::events::dispatcher::Outlet;
use crate::events::live::{self, Topic};
use crate::events::public::{RoomMessage, RoomOdds, RoomResult};
use crate::ids::RaceId;
use crate::ranking::Mark;
use std::time::Duration;

/// How long a simulated race takes.
const LENGTH: Duration = Duration::from_mins(1);
/// Odds come every five to ten seconds.
const PAUSE_MS: std::ops::Range<u64> = 5_000..10_000;

/// A number below `bound`, from the dice of the application.
fn dice(app: &App, bound: u64) -> u64 {
    u64::from_be_bytes(app.chance.bytes()) % bound.max(1)
}

/// Begins to simulate a race, in the demo and only there, unless that is under way or the race has results.
pub fn begin(app: &App, outlet: &Outlet, race: &RaceId) {
    if !app.config.simulate || app.state().racing.results(race).next().is_some() {
        return;
    }
    let topic = Topic::Race(race.clone());
    if let Some(id) = outlet.live.begin_simulation(&topic) {
        let (app, outlet, race) = (app.clone(), outlet.clone(), race.clone());
        app.tasks.clone().spawn(async move {
            let stopping = app.stopping.clone();
            tokio::select! {
                () = stopping.cancelled() => {}
                () = simulate(&app, &outlet, &race, id) => {}
            }
        });
    }
}

async fn simulate(app: &App, outlet: &Outlet, race: &RaceId, id: u64) {
    let topic = Topic::Race(race.clone());
    let mut left = LENGTH;
    loop {
        let state = app.state();
        let Some(number) = state.races.get(race).map(|race| race.number) else { return };
        // What is real goes before what is not.
        if state.racing.results(race).next().is_some() {
            return;
        }
        let mut horses: Vec<i64> = state.starters_of(race).map(|starter| starter.horse_id()).collect();
        drop(state);
        let timestamp = app.clock.now();
        if left.is_zero() {
            horses.sort_by_cached_key(|_| dice(app, u64::MAX));
            let results = (1..).zip(horses).map(|(place, horse_id)| RoomResult {
                horse_id,
                placing: Some(place),
                finished: true,
            });
            let results = results.collect();
            let message = RoomMessage::ResultUpdate { race_id: number, timestamp, results, simulated: true };
            outlet.live.tell(&topic, &live::room(&message, None));
            return;
        }
        let odds = horses.into_iter().filter_map(|horse_id| {
            // From 1.10 to 21.09, in hundredths.
            let odds = 1_100 + 10 * i64::try_from(dice(app, 2_000)).ok()?;
            Some(RoomOdds { horse_id, odds: Mark::from_thousandths(odds).ok()? })
        });
        let odds = odds.collect();
        let message = RoomMessage::OddsUpdate { race_id: number, timestamp, odds, simulated: true };
        outlet.live.tell(&topic, &live::room(&message, None));
        let pause = Duration::from_millis(PAUSE_MS.start + dice(app, PAUSE_MS.end - PAUSE_MS.start)).min(left);
        left -= pause;
        tokio::time::sleep(pause).await;
        // The last viewer has gone; the next begins another.
        if !outlet.live.is_simulated(&topic, id) {
            return;
        }
    }
}
