//! The running configuration: one immutable snapshot, swapped as a whole.
//!
//! A request takes the snapshot once and works with it to its end, so a reload can never
//! show it half of each. It must not know how a snapshot is made; `app` makes it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::upstreams::Upstreams;
use crate::config::Settings;
use crate::gate::{CorsPolicy, Gate};
use crate::identity::Rejection;

/// Writes the recorded answer to a credential that is not good.
pub type RejectionReply = fn(&Rejection) -> Response<Bytes>;

/// Writes any other refusal: `{"detail": …, "code": …}`.
pub type ErrorReply = fn(status: StatusCode, detail: &str, code: &str) -> Response<Bytes>;

/// Writes that a credential cannot be checked at present: 503 and when to come back.
pub type UnavailableReply = fn() -> Response<Bytes>;

/// Writes the answer to who has to wait this long.
pub type ThrottledReply = fn(Duration) -> Response<Bytes>;

/// How refusals are written: handed in, because only the API knows the bodies.
#[derive(Debug, Clone, Copy)]
pub struct Replies {
    /// For [`Rejection`]s: 401, and what the recorded API answers otherwise.
    pub rejection: RejectionReply,
    /// For our own trouble.
    pub unavailable: UnavailableReply,
    /// 429 with `Retry-After`: too many attempts with a password.
    pub throttled: ThrottledReply,
    /// For everything else.
    pub error: ErrorReply,
}

/// Everything that a request needs and a reload may change.
pub struct Live {
    /// The settings as they are in effect.
    pub settings: Arc<Settings>,
    /// Decides.
    pub gate: Gate,
    /// Who may read our own answers from scripts.
    pub cors: CorsPolicy,
    /// Where passages lead.
    pub upstreams: Upstreams,
    /// What the gateway answers itself: `{auth_prefix}/*`, the key set, the reserved prefix.
    pub api: axum::Router,
    /// Bodies of refusals.
    pub replies: Replies,
}
