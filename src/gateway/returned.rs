//! Cleans the response head that comes back from an upstream.
//!
//! Pingora strips nothing on the way to an HTTP/1 client, and neither would we. What is between the upstream and us
//! stays there: hop-by-hop headers and the names in which we tell it who asks. It must not
//! know what the response is about.

use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;

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
    if !tells_length(response) {
        response.remove_header(&header::CONTENT_LENGTH);
    }
}

/// The head of an answer, as far as it is for the client: the same that [`clean`] and [`change`]
/// leave, but nothing is removed.
pub(super) struct Returned<'a> {
    pub(super) response: &'a ResponseHeader,
    kept_back: Vec<HeaderName>,
    changes: Option<&'a HeaderChanges>,
}

impl<'a> Returned<'a> {
    /// `is_ours`: the names that the gateway writes upstream. `changes`: those of the route.
    pub(super) fn of(
        response: &'a ResponseHeader,
        is_ours: impl Fn(&HeaderName) -> bool,
        changes: Option<&'a HeaderChanges>,
    ) -> Self {
        let changes = changes.filter(|_| !response.status.is_informational());
        Self { response, kept_back: kept_back(response, is_ours), changes }
    }

    /// Whether its body came in chunks, or would have.
    pub(super) fn is_chunked(&self) -> bool {
        !is_bodiless(self.response.status)
            && self.response.headers.contains_key(header::TRANSFER_ENCODING)
    }

    /// Tells each line, but for those that whoever writes it adds: about the connection, the
    /// framing, the date and the request's name. First comes the name as the upstream spelled it.
    pub(super) fn each(&self, mut tell: impl FnMut(&[u8], &HeaderName, &HeaderValue)) {
        let response = self.response;
        let tells_length = tells_length(response);
        let spelled = response.case_header_iter().map(|(spelled, _)| spelled.as_slice());
        for ((name, value), spelled) in response.headers.iter().zip(spelled) {
            let is_written_anew =
                matches!(*name, header::CONNECTION | header::TRANSFER_ENCODING | header::DATE)
                    || (*name == header::CONTENT_LENGTH && !tells_length)
                    || *name == X_REQUEST_ID;
            if !is_written_anew && !self.kept_back.contains(name) && !self.is_changed(name) {
                tell(spelled, name, value);
            }
        }
        for (name, value) in self.changes.iter().flat_map(|changes| &changes.set) {
            tell(name.as_str().as_bytes(), name, value);
        }
    }

    fn is_changed(&self, name: &HeaderName) -> bool {
        self.changes.is_some_and(|changes| {
            changes.removed.contains(name) || changes.set.iter().any(|(set, _)| set == name)
        })
    }
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

fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Whether the client is told a length. Of a 304 it is the length of what was not modified
/// (RFC 9110, 8.6).
fn tells_length(response: &ResponseHeader) -> bool {
    let is_chunked = response.headers.contains_key(header::TRANSFER_ENCODING);
    response.status != StatusCode::NO_CONTENT
        && (!is_chunked || response.status == StatusCode::NOT_MODIFIED)
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
    let is_number = |value: &http::HeaderValue| {
        let digits = value.as_bytes();
        (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
    };
    lengths.next().is_none_or(is_number) && lengths.next().is_none()
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
