//! The edge: sockets, HTTP and forwarding. The only module that knows Pingora.
//!
//! A connection is accepted, with or without TLS (`accept`, `tls`), each request's head is read
//! as a whole (`http1`, `http2`) and vetted (`vet`, `vet_h2`) before Pingora acts on it, the phases (`phases`) ask the gate, and what has
//! a passage is forwarded (`forward`, `upstreams`). What the gateway answers itself goes to
//! the API's router in process (`local`). It must not know how the gate decides, how a
//! credential is proved, or what the bodies of refusals look like.

mod listen;
mod run;

mod socket;
mod tls;
mod unix_socket;

mod accept;
mod caps;
mod conn;
mod edge;
mod proxied;
mod wire;

mod head;
mod http1;
mod http2;
mod lines;
mod octets;
mod request_line;
mod vet;
mod vet_h2;
mod watch;

mod arrival;
mod decision;
mod direct;
mod hooks;
mod live;
mod phases;
mod record;
mod request;
mod trace;

mod body;
mod local;
mod respond;
mod serve;

mod failure;
mod forward;
mod forward_auth;
mod plain;
mod rehearsal;
mod returned;
mod upstreams;

mod health;
mod probes;
mod workers;

pub use health::{CheckOutcome, Health};
pub use listen::{BindError, Listeners, bind};
pub use live::{ErrorReply, Live, RejectionReply, Replies, ThrottledReply, UnavailableReply};
pub use rehearsal::{Imagined, Rehearsal, SentHead, Stage, rehearse};
pub use run::{Drained, Gateway};
pub(crate) use tls::names_of;
pub use tls::{TlsError, try_certificates};
pub use upstreams::{UpstreamError, Upstreams};
pub use workers::Workers;

#[cfg(test)]
#[path = "../../tests/it/raw.rs"]
mod raw;
#[cfg(test)]
mod trial;
