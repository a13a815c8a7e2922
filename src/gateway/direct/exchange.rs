//! One request to one server, and its answer back to the client.
//!
//! A plain answer is passed on out of the buffer it was read into; any other one is given back
//! unread to [`super::session`]. Whoever waits for the server also listens whether the client is
//! still there. It must not know which server it is, nor whether there will be another attempt.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use futures_util::FutureExt as _;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as SocketStream;
use pingora::{BError, Error, ErrorType, Result, RetryType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::client::{Client, Framing};
use super::kept::Connection;
use super::session::{self, Session};
use crate::gate::Passage;
use crate::gateway::failure::is_lost;
use crate::gateway::phases::Phases;
use crate::gateway::plain::Plain;
use crate::gateway::request::Request;
use crate::gateway::respond::After;
use crate::gateway::returned::Returned;
use crate::gateway::upstreams::Peer;

/// What is read at once at first; most answers fit.
const PIECE: usize = 4096;

/// What is read at once of a body that is longer.
const BODY_PIECE: usize = 64 * 1024;

/// Sends the request and passes the answer on. Gives the connection back, if it can be kept.
///
/// # Errors
/// Told as the server's or the client's fault; see [`crate::gateway::failure`].
pub(super) async fn exchange(
    phases: &Phases,
    client: &mut impl Client,
    mut connection: Connection,
    peer: &Peer,
    request: &mut Request,
) -> Result<Option<Connection>> {
    let own = request.passage().and_then(Passage::upstream_read_timeout);
    let read_time = own.unwrap_or(peer.times.read);
    let head = phases.write_head(client.head(), None, request)?;
    if client.is_head() {
        // The session must know: the answer has no body, whatever it says.
        let session = session::ask(head, connection, peer, read_time).await?;
        return session::pass_on(phases, client, session, request).await;
    }
    send(&mut connection.stream, &head.into_bytes(), peer.times.write).await?;
    if !is_socket(&connection.stream) {
        let session = Session::new(connection, peer, read_time);
        return session::pass_on(phases, client, session, request).await;
    }
    let mut buffer = BytesMut::with_capacity(PIECE);
    let sent = request.sent.unwrap_or_else(Instant::now);
    let begun = read(&mut connection, &mut buffer, sent + read_time, client).await;
    begun.map_err(|mut error| {
        if is_lost(&error) {
            // Most likely the server had closed it before.
            error.retry = RetryType::ReusedOnly;
        }
        error
    })?;
    let Some(plain) = Plain::read(&buffer) else {
        connection.stream = put_back(connection.stream, &buffer)?;
        let session = Session::new(connection, peer, read_time);
        return session::pass_on(phases, client, session, request).await;
    };
    let Plain { end, length, is_kept, .. } = plain;
    Phases::note_answer(request);
    let is_ours = |name: &_| request.passage().is_some_and(|it| it.strips_from_answer(name));
    let changes = request.passage().map(Passage::response_changes);
    let returned = Returned::of_plain(plain, is_ours, changes);
    if phases.after() == After::Close {
        client.close();
    }
    let framing = if length == 0 { Framing::None } else { Framing::Length };
    client.begin(&returned, framing, &request.id)?;
    request.status = returned.status.as_u16();
    buffer.advance(end);
    let is_over = pass_body_on(client, &mut connection, buffer, length, read_time).await?;
    if is_kept && is_over {
        return Ok(Some(connection));
    }
    let _ = connection.stream.shutdown().await;
    Ok(None)
}

/// Sends a head, which is the whole request.
async fn send(stream: &mut Stream, bytes: &[u8], time: Duration) -> Result<()> {
    let mut sending = pin!(async {
        stream.write_all(bytes).await?;
        stream.flush().await
    });
    let sent = match sending.as_mut().now_or_never() {
        Some(sent) => sent,
        // Only now it is worth a timer.
        None => match timeout(time, sending).await {
            Ok(sent) => sent,
            Err(_) => return Err(Error::new_up(ErrorType::WriteTimedout)),
        },
    };
    sent.map_err(|cause| {
        let mut error = Error::because(ErrorType::WriteError, "sending a head", cause);
        error.retry = RetryType::ReusedOnly;
        error.into_up()
    })
}

/// Reads what comes next into the buffer.
async fn read(
    connection: &mut Connection,
    buffer: &mut BytesMut,
    deadline: Instant,
    client: &mut impl Client,
) -> Result<()> {
    let Connection { stream, alarm } = connection;
    alarm.set(deadline);
    let read = tokio::select! {
        biased;
        read = alarm.within(stream.read_buf(buffer)) => read,
        gone = client.gone() => return Err(gone),
    };
    there(read.ok_or_else(|| Error::new_up(ErrorType::ReadTimedout))?)
}

/// Whether something was read.
fn there(read: io::Result<usize>) -> Result<()> {
    match read {
        Ok(0) => Err(Error::new_up(ErrorType::ConnectionClosed)),
        Ok(_) => Ok(()),
        Err(cause) => {
            let error: BError = Error::because(ErrorType::ReadError, "an answer", cause);
            Err(error.into_up())
        }
    }
}

/// Passes a body on of which `body` was read already. Gives out whether the server said nothing more.
async fn pass_body_on(
    client: &mut impl Client,
    connection: &mut Connection,
    mut body: BytesMut,
    mut length: usize,
    read_time: Duration,
) -> Result<bool> {
    loop {
        let piece = length.min(body.len());
        client.piece(&body[..piece]).await?;
        length -= piece;
        if length == 0 {
            client.finish().await?;
            return Ok(piece == body.len());
        }
        body.clear();
        body.reserve(length.min(BODY_PIECE));
        if let Some(read) = connection.stream.read_buf(&mut body).now_or_never() {
            there(read)?;
        } else {
            // Nobody knows how long it takes: what is there must not wait for it.
            client.flush().await?;
            read(connection, &mut body, Instant::now() + read_time, client).await?;
        }
    }
}

/// Whether what was read can be given back.
fn is_socket(stream: &Stream) -> bool {
    (**stream).as_any().is::<SocketStream>()
}

/// Gives back what was read, to be read again.
fn put_back(stream: Stream, bytes: &[u8]) -> Result<Stream> {
    let mut socket = stream.into_any().downcast::<SocketStream>().map_err(|_| {
        Error::explain(ErrorType::InternalError, "what was read cannot be given back")
    })?;
    socket.rewind(bytes);
    Ok(socket)
}
