//! What timing reports: by a key of the event, or by somebody signed in.

use super::{Answer, Timekeeper, with_path};
use crate::command::parse;
use crate::ids::RaceId;
use crate::races::status::SetRaceStatus;
use crate::transport::problem::Problem;
use crate::transport::request::Json as Body;
use axum::extract::Path;

/// Says where a race stands: `{status, correction?}`. What is official is left by a correction only.
#[utoipa::path(patch, path = "/api/v1/races/{id}/status", tag = "timing", params(("id" = RaceId, Path)), request_body = SetRaceStatus,
    security(("bearer" = []), ("apiKey" = [])),
    responses((status = 200, description = "{raceId, eventId, status, raceStatus}", body = Object), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, description = "it is official", body = Problem)))]
pub async fn race_status(timekeeper: Timekeeper, Path(race): Path<RaceId>, Body(body): Body) -> Answer {
    let payload = with_path(body, "raceId", race.as_str())?;
    let command: SetRaceStatus = parse(payload.clone())?;
    timekeeper.carry_out(command, &payload).await
}
