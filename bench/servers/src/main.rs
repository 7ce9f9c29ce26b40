//! Servers to compare with: each checks a token at the handshake, puts everybody into one category, acknowledges what a
//! judge submits and tells all of them. All but `hub-durable` store nothing. Usage: `scorecast-bench-servers NAME PORT`.

mod axum_ws;
mod hub;
mod oxide;
mod view;

use anyhow::{Context, bail};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use scorecast_volley::Volley;
use serde::Deserialize;
use std::fs::File;

/// What a token of the benchmark says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    user_id: String,
    role: String,
}

/// Checks tokens.
#[derive(Clone)]
struct Gate {
    key: DecodingKey,
    validation: Validation,
}

impl Gate {
    fn from_environment() -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "these servers have this one setting, and no Config")]
        let secret = std::env::var("JWT_SECRET").context("JWT_SECRET is not set")?;
        Ok(Self { key: DecodingKey::from_secret(secret.as_bytes()), validation: Validation::new(Algorithm::HS256) })
    }

    fn admit(&self, token: &str) -> Option<Claims> {
        jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).ok().map(|good| good.claims)
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().context("which server?")?;
    let port: u16 = arguments.next().context("which port?")?.parse()?;
    let gate = Gate::from_environment()?;
    match &*name {
        "hub" => hub::serve(port, &gate, Volley::one_by_one(), None),
        "hub-together" => hub::serve(port, &gate, Volley::together()?, None),
        "hub-durable" => hub::serve(port, &gate, Volley::together()?, Some(File::create("marks")?)),
        "axum" => axum_ws::serve(port, gate),
        "socketioxide" => oxide::serve(port, gate),
        _ => bail!("there is no server {name}: hub, hub-together, hub-durable, axum, socketioxide"),
    }
}
