//! Answers that are not plain, read by Pingora's session: chunks, what ends with the connection,
//! informational answers, answers to HEAD, what comes over TLS, and everything that is broken.
//!
//! It must not know which server it is, nor whether there will be another attempt.

use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::v1::client::HttpSession as ServersSession;
use pingora::{Error, ErrorType, Result};

use super::client::{Client, Framing};
use super::kept::Connection;
use crate::gate::Passage;
use crate::gateway::forward::Head;
use crate::gateway::head::Alarm;
use crate::gateway::phases::Phases;
use crate::gateway::request::Request;
use crate::gateway::respond::After;
use crate::gateway::returned::{Returned, is_bodiless};
use crate::gateway::upstreams::Peer;

/// A connection to a server while Pingora reads what comes over it.
pub(super) struct Session {
    server: ServersSession,
    alarm: Alarm,
}

impl Session {
    /// `read_time`: for each piece of the answer.
    pub(super) fn new(connection: Connection, peer: &Peer, read_time: Duration) -> Self {
        let Connection { stream, alarm } = connection;
        let mut server = ServersSession::new_with_options(stream, &peer.http);
        server.read_timeout = Some(read_time);
        server.write_timeout = Some(peer.times.write);
        Self { server, alarm }
    }
}

/// Sends a head, which is the whole request.
pub(super) async fn ask(
    head: Head<'_>,
    connection: Connection,
    peer: &Peer,
    read_time: Duration,
) -> Result<Session> {
    let mut session = Session::new(connection, peer, read_time);
    let mut head = head.into_header();
    // Whatever the client speaks.
    head.set_version(Version::HTTP_11);
    let sent = session.server.write_request_header(Box::new(head)).await;
    sent.map(|_| session).map_err(Error::into_up)
}

/// Passes the answer on. Gives the connection back, if it can be kept.
pub(super) async fn pass_on(
    phases: &Phases,
    client: &mut impl Client,
    session: Session,
    request: &mut Request,
) -> Result<Option<Connection>> {
    let Session { mut server, alarm } = session;
    answer(phases, client, &mut server, request).await?;
    server.respect_keepalive();
    Ok(server.reuse().await.map(|stream| Connection { stream, alarm }))
}

async fn answer(
    phases: &Phases,
    client: &mut impl Client,
    server: &mut ServersSession,
    request: &mut Request,
) -> Result<()> {
    loop {
        tokio::select! {
            biased;
            head = server.read_response() => head.map_err(Error::into_up)?,
            gone = client.gone() => return Err(gone),
        };
        // Asked for first: it also reads how long the body is.
        let is_over = server.is_body_done();
        let Some(response) = server.resp_header() else {
            return Err(Error::new_up(ErrorType::InvalidHTTPHeader));
        };
        Phases::take_answer(false, response, request)?;
        let is_ours = |name: &_| request.passage().is_some_and(|it| it.strips_from_answer(name));
        let changes = request.passage().map(Passage::response_changes);
        let returned = Returned::of(response, is_ours, changes);
        if response.status.is_informational() {
            client.inform(&returned).await?;
            continue;
        }
        let framing = framing(client.is_head(), response, is_over)?;
        if framing == Framing::Chunked {
            // Nobody knows when it ends.
            request.arrival.streams();
        }
        if phases.after() == After::Close {
            client.close();
        }
        client.begin(&returned, framing, &request.id)?;
        request.status = response.status.as_u16();
        break;
    }
    body(client, server).await
}

fn framing(is_head: bool, response: &ResponseHeader, is_over: bool) -> Result<Framing> {
    if is_head || is_bodiless(response.status) {
        return Ok(Framing::None);
    }
    let codings = response.headers.get(header::TRANSFER_ENCODING);
    if codings.is_some_and(|codings| !codings.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Error::new_up(ErrorType::InvalidHTTPHeader));
    }
    let has_length = codings.is_none() && response.headers.contains_key(header::CONTENT_LENGTH);
    Ok(match (has_length, is_over && codings.is_none()) {
        (true, false) => Framing::Length,
        (true, true) => Framing::None,
        // One that ends with the server's connection, too: the client's is to outlive it.
        (false, _) => Framing::Chunked,
    })
}

async fn body(client: &mut impl Client, server: &mut ServersSession) -> Result<()> {
    while !server.is_body_done() {
        let piece = if let Some(piece) = server.read_body_ref().now_or_never() {
            piece
        } else {
            // Nobody knows how long it takes: what is there must not wait for it.
            client.flush().await?;
            tokio::select! {
                biased;
                piece = server.read_body_ref() => piece,
                gone = client.gone() => return Err(gone),
            }
        };
        match piece.map_err(Error::into_up)? {
            Some(piece) => client.piece(piece).await?,
            None => break,
        }
    }
    client.finish().await
}
