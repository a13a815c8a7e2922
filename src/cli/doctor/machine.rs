//! Is the machine made for what the settings allow: open files, and the work of a password?
//!
//! It must not know what connections and passwords are for.

use std::time::{Duration, Instant};

use super::finding::Findings;
use super::sockets;
use crate::accounts::passwords::Passwords;
use crate::config::Settings;

const FILES: &str = "open-files";
const PASSWORDS: &str = "passwords";

/// Files that are not connections of clients and what follows from them.
const OTHERS: u64 = 256;

/// A hash that is faster is guessed fast; one that is slower keeps people waiting.
const QUICK: Duration = Duration::from_millis(5);
const SLOW: Duration = Duration::from_secs(1);

const HASHES: usize = 3;

pub(super) async fn check(settings: &Settings, findings: &mut Findings) {
    open_files(settings, findings);
    passwords(settings, findings).await;
}

fn open_files(settings: &Settings, findings: &mut Findings) {
    let addresses: Vec<_> = settings.server.addresses().collect();
    let sockets: Vec<_> =
        addresses.iter().flat_map(|address| sockets::listening_at(address.port())).collect();
    let gateways = sockets::descriptors_of(&sockets).map(|most| ("the gateway", most));
    let found = gateways.or_else(|| {
        let whose = "this shell (the gateway could not be looked at)";
        sockets::own_descriptors().map(|most| (whose, most))
    });
    let Some((whose, most)) = found else {
        let text = "this system does not tell how many a process may open";
        let remedy = "compare `ulimit -n` with limits.connections";
        return findings.not_checked(FILES, text, remedy);
    };
    judge_files(whose, most, settings.limits.connections, findings);
}

/// Each client's connection may take another one to an upstream.
fn judge_files(whose: &str, most: u64, connections: usize, findings: &mut Findings) {
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    let needed = connections.saturating_mul(2).saturating_add(OTHERS);
    if most < needed {
        let text = format!(
            "{whose} may open {most} files, and limits.connections = {connections} may need {needed}"
        );
        let remedy = format!(
            "raise the limit (`ulimit -n {needed}`; LimitNOFILE= in systemd), or lower \
             limits.connections"
        );
        findings.warning(FILES, text, remedy);
    } else {
        let most = if most == u64::MAX { "any number".to_owned() } else { most.to_string() };
        let text = format!("{whose} may open {most}, enough for limits.connections");
        findings.ok(FILES, text);
    }
}

/// A hash as a login costs it: the fastest of some, since the machine has other things to do.
async fn passwords(settings: &Settings, findings: &mut Findings) {
    let pool = Passwords::new(&settings.accounts.argon2, 1, SLOW);
    let mut fastest = Duration::MAX;
    for _ in 0..HASHES {
        let began = Instant::now();
        if let Err(error) = pool.hash("a password that nobody has").await {
            return findings.not_checked(PASSWORDS, error.to_string(), "run doctor again");
        }
        fastest = fastest.min(began.elapsed());
    }
    judge_hash(fastest, findings);
}

fn judge_hash(took: Duration, findings: &mut Findings) {
    let text = format!("a hash takes {took:.0?} here");
    if took < QUICK {
        let remedy =
            "raise accounts.argon2.memory_kib and iterations: stolen hashes are guessed fast";
        findings.warning(PASSWORDS, text, remedy);
    } else if took > SLOW {
        let remedy = "lower accounts.argon2.memory_kib, not below 19456, or give the machine more \
                      to compute with";
        findings.warning(PASSWORDS, text, remedy);
    } else {
        findings.ok(PASSWORDS, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(judge: impl FnOnce(&mut Findings)) -> String {
        let (mut findings, mut text) = (Findings::default(), Vec::new());
        judge(&mut findings);
        findings.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_connection_may_need_two_files() {
        let with = |most| told(|findings| judge_files("it", most, 10_000, findings));
        assert!(with(65_536).starts_with("ok           open-files"));
        assert!(with(u64::MAX).contains("any number"));
        let few = with(1024);
        assert!(few.starts_with("warning      open-files"), "{few}");
        assert!(few.contains("may need 20256"), "{few}");
    }

    #[test]
    fn a_hash_takes_a_part_of_a_second() {
        let with = |millis| told(|findings| judge_hash(Duration::from_millis(millis), findings));
        assert!(with(60).starts_with("ok           passwords"));
        assert!(with(1).starts_with("warning      passwords"));
        assert!(with(1500).starts_with("warning      passwords"));
    }
}
