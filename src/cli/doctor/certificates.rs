//! Certificates of the traffic listeners: can they be used, by whom, and for how long?
//!
//! Whether a pair fits together is asked of the part that serves it; what only a person would
//! notice is looked at here. It must not know private keys.

use std::collections::BTreeSet;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::finding::Findings;
use crate::config::{Settings, Tls};
use crate::gateway;
use crate::model::Timestamp;

pub(super) const CERTIFICATES: &str = "certificates";

/// Less than what is left when a renewal is due everywhere.
const SOON_DAYS: i64 = 14;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Looks at all pairs; gives out the certificates themselves, in DER, the default one first.
pub(super) fn check(settings: &Settings, now: Timestamp, findings: &mut Findings) -> Vec<Vec<u8>> {
    let Some(tls) = &settings.server.tls else {
        if settings.server.is_reachable() {
            let text =
                "none: whoever is between clients and the gateway reads tokens and passwords";
            let remedy = "write [server.tls] (docs/guides/tls-and-listeners.md), unless a proxy \
                          before it speaks TLS";
            findings.warning(CERTIFICATES, text, remedy);
        } else {
            findings.ok(CERTIFICATES, "none, and only this machine can connect");
        }
        return Vec::new();
    };
    let (mut own, mut names) = (Vec::new(), BTreeSet::new());
    for (certificate, private_key) in tls.pairs() {
        let alone = Tls {
            certificate: certificate.clone(),
            private_key: private_key.clone(),
            ..Tls::default()
        };
        if let Err(error) = gateway::try_certificates(&alone) {
            let error = anyhow::Error::new(error);
            let remedy = "write the chain with the server's own certificate first, and its key, \
                          both in PEM and readable for the gateway's user";
            findings.problem(CERTIFICATES, format!("{error:#}"), remedy);
            continue;
        }
        let chain = read_chain(certificate);
        judge(&certificate.display().to_string(), &chain, now, findings);
        if let Some(first) = chain.first() {
            names.extend(parse(first).iter().flat_map(gateway::names_of));
            own.push(first.clone());
        }
    }
    covers(settings, &names, findings);
    own
}

fn read_chain(file: &Path) -> Vec<Vec<u8>> {
    let pem = std::fs::read(file).unwrap_or_default();
    let chain = CertificateDer::pem_slice_iter(&pem).flatten();
    chain.map(|certificate| certificate.as_ref().to_vec()).collect()
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

fn judge(file: &str, chain: &[Vec<u8>], now: Timestamp, findings: &mut Findings) {
    let parsed: Vec<X509Certificate<'_>> = chain.iter().filter_map(|der| parse(der)).collect();
    let Some(own) = parsed.first() else { return };
    let renew = "renew it; changed files are taken over while the gateway runs";
    let days = (own.validity().not_after.timestamp() - now.seconds()).div_euclid(DAY_SECONDS);
    if own.validity().not_before.timestamp() > now.seconds() {
        findings.problem(CERTIFICATES, format!("{file} is not valid yet"), "look at the clock");
    } else if days < 0 {
        findings.problem(CERTIFICATES, format!("{file} has expired"), renew);
    } else if days < SOON_DAYS {
        findings.warning(CERTIFICATES, format!("{file} expires in {days} days"), renew);
    } else {
        findings.ok(CERTIFICATES, format!("{file} fits its key and is valid for {days} days"));
    }
    let in_order = parsed.windows(2).all(|pair| pair[0].issuer() == pair[1].subject());
    if !in_order {
        let text = format!("{file} is out of order: a certificate is not followed by its issuer's");
        let remedy = "write the server's own first, and each one's issuer behind it";
        findings.problem(CERTIFICATES, text, remedy);
    } else if parsed.last().is_some_and(|last| !is_rooted(last)) {
        let text = format!(
            "{file} ends before an authority that this machine knows: clients who do not know \
             the issuer refuse it"
        );
        let remedy = "append the intermediate certificates (certbot: fullchain.pem); with an \
                      authority of your own all is well where clients trust it";
        findings.warning(CERTIFICATES, text, remedy);
    }
}

/// Whether the end of a chain is its own issuer, or issued by an authority of this machine.
fn is_rooted(last: &X509Certificate<'_>) -> bool {
    if last.issuer() == last.subject() {
        return true;
    }
    let roots = rustls_native_certs::load_native_certs().certs;
    roots.iter().filter_map(|root| parse(root)).any(|root| root.subject() == last.issuer())
}

/// Hosts of routes and links that no certificate is for.
fn covers(settings: &Settings, names: &BTreeSet<String>, findings: &mut Findings) {
    let routes = settings.routes.iter().flat_map(|route| &route.hosts);
    let wanted: BTreeSet<&str> = routes
        .chain(&settings.server.allowed_hosts)
        .map(|host| host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name))
        .filter(|name| name.contains('.') && name.parse::<std::net::IpAddr>().is_err())
        .collect();
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !is_named(name, names)).collect();
    if !missing.is_empty() && !names.is_empty() {
        let text = format!("none is for {}", missing.join(", "));
        let remedy = "have the names put into one, or add another under \
                      [[server.tls.certificates]]";
        findings.problem(CERTIFICATES, text, remedy);
    }
}

fn is_named(name: &str, names: &BTreeSet<String>) -> bool {
    let name = name.to_ascii_lowercase();
    let wild = name.split_once('.').map(|(_, domain)| format!("*.{domain}"));
    names.contains(&name) || wild.is_some_and(|wild| names.contains(&wild))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    /// In 2024, far from the limits that `rcgen` gives certificates by default.
    const NOW: Timestamp = Timestamp::from_seconds(1_719_792_000);

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "nobody's authority");
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        /// A chain of the server's own and its authority's, in this order or the other.
        fn new(in_order: bool, with_authority: bool) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let authority = authority();
            let mut params = CertificateParams::new(vec!["gate.example".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(2024, 1, 1);
            params.not_after = rcgen::date_time_ymd(2024, 12, 31);
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, "gate");
            let key = KeyPair::generate().unwrap();
            let own = params.signed_by(&key, &authority).unwrap();
            let mut chain = vec![own.pem()];
            if with_authority {
                chain.push(authority.pem());
            }
            if !in_order {
                // The own one stays first: else it is not the key's.
                chain.insert(1, self_signed());
            }
            std::fs::write(folder.path().join("c.pem"), chain.concat()).unwrap();
            std::fs::write(folder.path().join("k.pem"), key.serialize_pem()).unwrap();
            Self { folder }
        }

        fn settings(&self) -> Settings {
            let mut settings = Settings::default();
            settings.server.tls = Some(Tls {
                certificate: self.folder.path().join("c.pem"),
                private_key: self.folder.path().join("k.pem"),
                ..Tls::default()
            });
            settings
        }
    }

    fn self_signed() -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "somebody else");
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn told(settings: &Settings, now: Timestamp) -> String {
        let (mut findings, mut text) = (Findings::default(), Vec::new());
        check(settings, now, &mut findings);
        findings.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn in_days(days: i64) -> Timestamp {
        Timestamp::from_seconds(NOW.seconds() + days * DAY_SECONDS)
    }

    #[test]
    fn a_whole_chain_is_good_until_it_expires() {
        let files = Files::new(true, true);
        let settings = files.settings();
        let good = told(&settings, NOW);
        assert!(good.starts_with("ok           certificates"), "{good}");
        assert_eq!(good.lines().count(), 2, "{good}");
        assert!(told(&settings, in_days(175)).starts_with("warning      certificates"));
        assert!(told(&settings, in_days(190)).contains("has expired"));
        assert!(told(&settings, in_days(-200)).contains("is not valid yet"));
    }

    #[test]
    fn a_chain_out_of_order_or_cut_off_is_told() {
        let files = Files::new(false, true);
        assert!(told(&files.settings(), NOW).contains("is out of order"));
        let files = Files::new(true, false);
        assert!(told(&files.settings(), NOW).contains("ends before an authority"));
    }

    #[test]
    fn another_key_and_a_missing_file_are_told() {
        let files = Files::new(true, true);
        let other = KeyPair::generate().unwrap().serialize_pem();
        std::fs::write(files.folder.path().join("k.pem"), other).unwrap();
        assert!(told(&files.settings(), NOW).starts_with("problem      certificates"));
        std::fs::remove_file(files.folder.path().join("k.pem")).unwrap();
        assert!(told(&files.settings(), NOW).contains("k.pem cannot be read"));
    }

    #[test]
    fn hosts_of_routes_stand_in_a_certificate() {
        let files = Files::new(true, true);
        let with = |host: &str| {
            let mut settings = files.settings();
            settings.server.allowed_hosts = vec![host.to_owned()];
            told(&settings, NOW)
        };
        assert!(!with("gate.example").contains("problem  "));
        assert!(!with("localhost:8000").contains("problem  "));
        assert!(with("other.example:8443").contains("none is for other.example"));
        let wild: BTreeSet<String> = ["*.gate.example".to_owned()].into();
        assert!(is_named("a.gate.example", &wild) && !is_named("gate.example", &wild));
    }

    #[test]
    fn who_can_be_reached_needs_one() {
        assert!(told(&Settings::default(), NOW).starts_with("ok"));
        let mut settings = Settings::default();
        settings.server.listen = vec!["0.0.0.0:8000".parse().unwrap()];
        assert!(told(&settings, NOW).starts_with("warning      certificates"));
    }
}
