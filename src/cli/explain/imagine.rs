//! Makes a request of arguments: as a client would send it, byte for byte.
//!
//! Nothing is mended: a path that the gateway refuses must reach it as it was typed. It must not
//! know what becomes of the request.

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use super::ExplainArguments;
use crate::gateway::Imagined;

/// Where only a path is given.
const HOST: &str = "localhost";

/// The request; the credential has the scheme of the arguments.
pub(super) fn request(
    arguments: &ExplainArguments,
    credential: Option<&SecretString>,
) -> anyhow::Result<Imagined> {
    let url = arguments.url.as_deref().unwrap_or("/");
    let (scheme, host, target) = parts(url)?;
    let mut headers = vec![("Host".to_owned(), value(host)?)];
    for line in &arguments.headers {
        let (name, text) =
            line.split_once(':').with_context(|| format!("{line:?} is no header"))?;
        let name = name.trim();
        if name.eq_ignore_ascii_case("authorization") {
            bail!("a credential is no argument, others can see it: use --token-stdin and --scheme");
        }
        if name.eq_ignore_ascii_case("host") {
            headers[0].1 = value(text.trim())?;
            continue;
        }
        headers.push((name.to_owned(), value(text.trim())?));
    }
    if let Some(credential) = credential {
        headers.push(("Authorization".to_owned(), authorization(&arguments.scheme, credential)?));
    }
    let method = arguments.method.clone();
    let (peer, is_asked_about) = (Some(arguments.peer), arguments.forward_auth);
    Ok(Imagined { method, target, headers, peer, scheme, is_asked_about })
}

/// Scheme, authority and target.
fn parts(url: &str) -> anyhow::Result<(&'static str, &str, String)> {
    // Fragments are the client's own business; none is ever sent.
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    if url.starts_with('/') {
        return Ok(("http", HOST, url.to_owned()));
    }
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
        _ => bail!("{url:?} is neither a URL (https://host/path) nor a path (/path)"),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    ensure!(!authority.is_empty(), "{url:?} names no host");
    ensure!(!authority.contains('@'), "leave name and password out of the URL: --token-stdin");
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((scheme, authority, format!("{slash}{target}")))
}

fn authorization(scheme: &str, credential: &SecretString) -> anyhow::Result<HeaderValue> {
    let credential = credential.expose_secret();
    let text = if scheme.eq_ignore_ascii_case("basic") {
        ensure!(credential.contains(':'), "after Basic, standard input has `name:password`");
        format!("{scheme} {}", STANDARD.encode(credential))
    } else {
        format!("{scheme} {credential}")
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| anyhow::anyhow!("the credential has what no header can have"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn value(text: &str) -> anyhow::Result<HeaderValue> {
    HeaderValue::from_str(text).with_context(|| format!("{text:?} is no value of a header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_nothing_in_it_is_mended() {
        for (url, expected) in [
            (
                "https://a.example:8443/x//%2e%2e?y=1#z",
                ("https", "a.example:8443", "/x//%2e%2e?y=1"),
            ),
            ("HTTP://A.example", ("http", "A.example", "/")),
            ("http://a.example?x", ("http", "a.example", "/?x")),
            ("/orders/7?x", ("http", HOST, "/orders/7?x")),
        ] {
            let (scheme, host, target) = parts(url).unwrap();
            assert_eq!((scheme, host, &*target), expected, "{url}");
        }
        for url in ["orders", "ftp://a.example/", "https:///x", "https://ada:secret@a.example/"] {
            assert!(parts(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_name_and_a_password_are_encoded_and_a_token_stands_as_it_is() {
        let of = |scheme, text: &str| authorization(scheme, &text.to_owned().into());
        assert_eq!(of("Basic", "a:b").unwrap(), "Basic YTpi");
        assert_eq!(of("Token", "abc").unwrap(), "Token abc");
        assert!(of("Bearer", "a\nb").is_err() && of("basic", "ab").is_err());
    }
}
