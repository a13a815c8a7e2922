//! One request to one server, and its answer back to the client.
//!
//! Whoever waits for the server also listens whether the client is still there. It must not know
//! which server it is, nor whether there will be another attempt.

use futures_util::FutureExt as _;
use http::{StatusCode, Version, header};
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession as ServersSession;
use pingora::{Error, ErrorType, Result, RetryType};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::client::{Client, Framing};
use crate::gate::Passage;
use crate::gateway::forward::Head;
use crate::gateway::phases::Phases;
use crate::gateway::request::Request;
use crate::gateway::respond::After;
use crate::gateway::returned::Returned;
use crate::gateway::upstreams::Peer;

/// Sends the request and passes the answer on. Gives the connection back, if it can be kept.
///
/// # Errors
/// Told as the server's or the client's fault; see [`crate::gateway::failure`].
pub(super) async fn exchange(
    phases: &Phases,
    client: &mut impl Client,
    stream: Stream,
    peer: &Peer,
    request: &mut Request,
) -> Result<Option<Stream>> {
    let head = phases.write_head(client.head(), None, request)?;
    let mut server = send(head, client.is_head(), stream, peer).await?;
    let own = request.passage().and_then(Passage::upstream_read_timeout);
    server.read_timeout = own.or(peer.http.options.read_timeout);
    answer(phases, client, &mut server, request).await?;
    server.respect_keepalive();
    Ok(server.reuse().await)
}

/// Sends the head, which is the whole request.
async fn send(
    head: Head,
    is_head: bool,
    mut stream: Stream,
    peer: &Peer,
) -> Result<ServersSession> {
    let time = peer.http.options.write_timeout;
    if is_head {
        // The session must know: the answer has no body, whatever it says.
        let mut server = ServersSession::new_with_options(stream, &peer.http);
        server.write_timeout = time;
        let mut head = head.into_header();
        // Whatever the client speaks.
        head.set_version(Version::HTTP_11);
        let sent = server.write_request_header(Box::new(head)).await;
        return sent.map(|_| server).map_err(Error::into_up);
    }
    let bytes = head.into_bytes();
    let sent = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    let sent = match time {
        Some(time) => timeout(time, sent).await,
        None => Ok(sent.await),
    };
    let mut error = match sent {
        Ok(Ok(())) => return Ok(ServersSession::new_with_options(stream, &peer.http)),
        Ok(Err(cause)) => Error::because(ErrorType::WriteError, "sending a head", cause),
        Err(_) => return Err(Error::new_up(ErrorType::WriteTimedout)),
    };
    error.retry = RetryType::ReusedOnly;
    Err(error.into_up())
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
        let framing = framing(client.is_head(), &returned, is_over)?;
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
