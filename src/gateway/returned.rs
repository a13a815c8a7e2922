//! Cleans the response head that comes back from an upstream.
//!
//! Pingora strips nothing on the way to an HTTP/1 client, and neither would we. What is between the upstream and us
//! stays there: hop-by-hop headers and the names in which we tell it who asks. It must not
//! know what the response is about.

use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;

use super::plain::Plain;
use crate::gate::{HeaderChanges, X_REQUEST_ID};

/// RFC 9110, 7.6.1, and those of old proxies. `Transfer-Encoding` is not among them: Pingora
/// has read the body by it and writes its own framing by it.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(*name, header::PROXY_AUTHENTICATE | header::TE | header::UPGRADE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Removes what is not for the client. `is_ours`: the names that the gateway writes upstream.
pub(super) fn clean(response: &mut ResponseHeader, is_ours: impl Fn(&HeaderName) -> bool) {
    for name in kept_back(response, is_ours) {
        response.remove_header(&name);
    }
    // Pingora writes its own, but for an upgrade.
    if response.status != StatusCode::SWITCHING_PROTOCOLS {
        response.remove_header(&header::CONNECTION);
    }
    if is_bodiless(response.status) {
        response.remove_header(&header::TRANSFER_ENCODING);
    }
    if !tells_length(response.status, is_coded(response)) {
        response.remove_header(&header::CONTENT_LENGTH);
    }
}

/// One line of an answer's head.
pub(super) struct Line<'a> {
    /// The name as the upstream spelled it.
    pub(super) spelled: &'a [u8],
    pub(super) name: HeaderName,
    pub(super) value: &'a [u8],
}

/// The head of an answer, as far as it is for the client: the same that [`clean`] and [`change`]
/// leave, but nothing is removed.
pub(super) struct Returned<'a> {
    pub(super) status: StatusCode,
    pub(super) reason: &'a str,
    is_coded: bool,
    lines: Vec<Line<'a>>,
    changes: Option<&'a HeaderChanges>,
}

impl<'a> Returned<'a> {
    /// `is_ours`: the names that the gateway writes upstream. `changes`: those of the route.
    pub(super) fn of(
        response: &'a ResponseHeader,
        is_ours: impl Fn(&HeaderName) -> bool,
        changes: Option<&'a HeaderChanges>,
    ) -> Self {
        let kept_back = kept_back(response, is_ours);
        let spelled = response.case_header_iter().map(|(spelled, _)| spelled.as_slice());
        let lines = response.headers.iter().zip(spelled);
        let lines = lines.filter(|((name, _), _)| !kept_back.contains(name));
        let lines = lines.map(|((name, value), spelled)| Line {
            spelled,
            name: name.clone(),
            value: value.as_bytes(),
        });
        let reason = response.get_reason_phrase().unwrap_or_default();
        Self::new(response.status, reason, is_coded(response), lines.collect(), changes)
    }

    /// The same of an answer that is [`Plain`].
    pub(super) fn of_plain(
        plain: Plain<'a>,
        is_ours: impl Fn(&HeaderName) -> bool,
        changes: Option<&'a HeaderChanges>,
    ) -> Self {
        let Plain { status, reason, mut lines, .. } = plain;
        lines.retain(|line| !is_hop_by_hop(&line.name) && !is_ours(&line.name));
        Self::new(status, reason, false, lines, changes)
    }

    /// `lines`: without what stays between the upstream and us.
    fn new(
        status: StatusCode,
        reason: &'a str,
        is_coded: bool,
        mut lines: Vec<Line<'a>>,
        changes: Option<&'a HeaderChanges>,
    ) -> Self {
        let changes = changes.filter(|_| !status.is_informational());
        let tells_length = tells_length(status, is_coded);
        lines.retain(|Line { name, .. }| {
            !matches!(*name, header::CONNECTION | header::TRANSFER_ENCODING | header::DATE)
                && (*name != header::CONTENT_LENGTH || tells_length)
                && *name != X_REQUEST_ID
                && !changes.is_some_and(|changes| is_changed(name, changes))
        });
        Self { status, reason, is_coded, lines, changes }
    }

    /// Whether its body came in chunks, or would have.
    pub(super) fn is_chunked(&self) -> bool {
        self.is_coded && !is_bodiless(self.status)
    }

    /// About as many lines as [`Returned::each`] tells.
    pub(super) fn count(&self) -> usize {
        self.lines.len() + self.changes.map_or(0, |changes| changes.set.len())
    }

    /// Tells each line, but for those that whoever writes it adds: about the connection, the
    /// framing, the date and the request's name. First comes the name as the upstream spelled it.
    pub(super) fn each(&self, mut tell: impl FnMut(&[u8], &HeaderName, &[u8])) {
        for Line { spelled, name, value } in &self.lines {
            tell(spelled, name, value);
        }
        for (name, value) in self.changes.iter().flat_map(|changes| &changes.set) {
            tell(name.as_str().as_bytes(), name, value.as_bytes());
        }
    }
}

fn is_changed(name: &HeaderName, changes: &HeaderChanges) -> bool {
    changes.removed.contains(name) || changes.set.iter().any(|(set, _)| set == name)
}

/// What stays between the upstream and us. Collected, because hardly any answer has one of them.
fn kept_back(response: &ResponseHeader, is_ours: impl Fn(&HeaderName) -> bool) -> Vec<HeaderName> {
    let upgraded = response.status == StatusCode::SWITCHING_PROTOCOLS;
    let mut names: Vec<HeaderName> =
        response.headers.get_all(header::CONNECTION).iter().flat_map(nominated).collect();
    let stays = |name: &&HeaderName| is_hop_by_hop(name) || is_ours(name);
    names.extend(response.headers.keys().filter(stays).cloned());
    // The upgrade is what the client asked for.
    names.retain(|name| !(upgraded && *name == header::UPGRADE));
    names
}

pub(super) fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn is_coded(response: &ResponseHeader) -> bool {
    response.headers.contains_key(header::TRANSFER_ENCODING)
}

/// Whether the client is told a length. Of a 304 it is the length of what was not modified
/// (RFC 9110, 8.6).
fn tells_length(status: StatusCode, is_coded: bool) -> bool {
    status != StatusCode::NO_CONTENT && (!is_coded || status == StatusCode::NOT_MODIFIED)
}

/// Changes what the route changes; informational answers stay as they are.
pub(super) fn change(
    response: &mut ResponseHeader,
    changes: &HeaderChanges,
) -> pingora::Result<()> {
    if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    for name in &changes.removed {
        response.remove_header(name);
    }
    for (name, value) in &changes.set {
        response.insert_header(name.clone(), value.clone())?;
    }
    Ok(())
}

/// Whether the length is told once and as a number, if at all. `2, 2` is read in three ways, and
/// what a client makes of it must not differ from what we read.
pub(super) fn has_one_length(response: &ResponseHeader) -> bool {
    let mut lengths = response.headers.get_all(header::CONTENT_LENGTH).iter();
    lengths.next().is_none_or(|value| length(value.as_bytes()).is_some())
        && lengths.next().is_none()
}

/// A length that everybody reads in the same way.
pub(super) fn length(value: &[u8]) -> Option<usize> {
    let is_number = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

/// What a `Connection` header names, but for what is never passed on or cannot be taken away.
fn nominated(connection: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let names = match connection.as_bytes() {
        b"keep-alive" | b"close" => b"",
        names => names,
    };
    names
        .split(|byte| *byte == b',')
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !is_framing(name))
}

/// An upstream that nominates these would make its own body unreadable.
fn is_framing(name: &HeaderName) -> bool {
    matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(status: u16, lines: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in lines {
            response.append_header(*name, *value).unwrap();
        }
        clean(&mut response, |name| name.as_str().starts_with("x-forwarded-"));
        let mut left: Vec<_> = response.headers.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn hop_by_hop_and_nominated_headers_stay_behind() {
        let left = cleaned(
            200,
            &[
                ("connection", "keep-alive, X-Inner"),
                ("keep-alive", "timeout=5"),
                ("x-inner", "a"),
                ("proxy-authenticate", "Basic"),
                ("upgrade", "h2c"),
                ("content-length", "3"),
                ("x-app", "b"),
            ],
        );
        assert_eq!(left, ["content-length", "x-app"]);
    }

    #[test]
    fn identity_never_comes_back() {
        let left = cleaned(200, &[("x-forwarded-user", "alice"), ("set-cookie", "a=b")]);
        assert_eq!(left, ["set-cookie"]);
    }

    #[test]
    fn framing_cannot_be_nominated_away() {
        let left = cleaned(200, &[("connection", "content-length"), ("content-length", "3")]);
        assert_eq!(left, ["content-length"]);
    }

    #[test]
    fn an_upgrade_keeps_its_headers() {
        let left = cleaned(101, &[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(left, ["connection", "upgrade"]);
    }
}
