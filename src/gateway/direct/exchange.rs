//! One request to one server, and its answer back to the client.
//!
//! Whoever waits for the server also listens whether the client is still there. It must not know
//! which server it is, nor whether there will be another attempt.

use futures_util::FutureExt as _;
use http::{StatusCode, header};
use pingora::protocols::http::v1::client::HttpSession as ServersSession;
use pingora::{Error, ErrorType, Result};

use super::client::{Client, Framing};
use crate::gateway::phases::Phases;
use crate::gateway::request::Request;
use crate::gateway::respond::After;
use crate::gateway::returned::Returned;

/// Sends the request and passes the answer on.
///
/// # Errors
/// Told as the server's or the client's fault; see [`crate::gateway::failure`].
pub(super) async fn exchange(
    phases: &Phases,
    client: &mut Client<'_>,
    server: &mut ServersSession,
    request: &mut Request,
) -> Result<()> {
    let head = Box::new(phases.write_head(client.head(), None, request)?);
    server.write_request_header(head).await.map_err(|error| error.into_up())?;
    loop {
        tokio::select! {
            biased;
            head = server.read_response() => head.map_err(|error| error.into_up())?,
            gone = client.gone() => return Err(gone),
        };
        // Asked for first: it also reads how long the body is.
        let is_over = server.is_body_done();
        let Some(response) = server.resp_header() else {
            return Err(Error::new_up(ErrorType::InvalidHTTPHeader));
        };
        Phases::take_answer(false, response, request)?;
        let is_ours = |name: &_| request.passage().is_some_and(|it| it.strips_from_answer(name));
        let changes = request.passage().map(|passage| passage.response_changes());
        let returned = Returned::of(response, is_ours, changes);
        if response.status.is_informational() {
            client.inform(&returned).await?;
            continue;
        }
        let framing = framing(client.is_head(), &returned, is_over)?;
        if framing == Framing::Chunked {
            // Nobody knows when it ends.
            request.arrival.streams();
        }
        if phases.after() == After::Close {
            client.close();
        }
        client.begin(&returned, framing, &request.id)?;
        break;
    }
    body(client, server).await
}

fn framing(is_head: bool, returned: &Returned<'_>, is_over: bool) -> Result<Framing> {
    let response = returned.response;
    if is_head || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
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

async fn body(client: &mut Client<'_>, server: &mut ServersSession) -> Result<()> {
    while !server.is_body_done() {
        let piece = match server.read_body_ref().now_or_never() {
            Some(piece) => piece,
            // Nobody knows how long it takes: what is there must not wait for it.
            None => {
                client.flush().await?;
                tokio::select! {
                    biased;
                    piece = server.read_body_ref() => piece,
                    gone = client.gone() => return Err(gone),
                }
            }
        };
        match piece.map_err(|error| error.into_up())? {
            Some(piece) => client.piece(piece).await?,
            None => break,
        }
    }
    client.finish().await
}
