//! `portcullis check`: is the configuration good? Nothing is started.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Endpoint, Fault, Faults, Loaded, SecretText, ServerAddress, Settings};
use crate::mail::{self, TemplateFault};

/// The exit code for a configuration with faults: `EX_USAGE` of sysexits.h.
pub const FAULTY: u8 = 64;

/// Loads the configuration and tells all faults and warnings. Exit code 0 or [`FAULTY`].
#[must_use]
pub fn run(files: &[PathBuf], environment: Vec<(String, String)>) -> ExitCode {
    match load(files, environment, &mut io::stderr().lock()) {
        Ok(_) => {
            // Whoever closed the output does not want to know.
            let _ = writeln!(io::stdout(), "configuration is good");
            ExitCode::SUCCESS
        }
        Err(code) => ExitCode::from(code),
    }
}

/// Loads the configuration, as every command that needs one does: faults and warnings go to
/// `errors`.
///
/// # Errors
/// The exit code if there are faults.
pub fn load(
    files: &[PathBuf],
    environment: Vec<(String, String)>,
    errors: &mut impl Write,
) -> Result<Settings, u8> {
    // That errors cannot be written anywhere changes nothing about the outcome.
    match checked(files, environment) {
        Ok(Loaded { settings, warnings }) => {
            for warning in warnings {
                let _ = writeln!(errors, "warning: {warning}");
            }
            Ok(settings)
        }
        Err(faults) => {
            let _ = writeln!(errors, "{faults}");
            Err(FAULTY)
        }
    }
}

/// Reads the settings, and then what they name and only its own module can read.
pub(super) fn checked(
    files: &[PathBuf],
    environment: Vec<(String, String)>,
) -> Result<Loaded, Faults> {
    let loaded = config::load(files, environment)?;
    match mail::proofread(&loaded.settings) {
        Ok(()) => Ok(loaded),
        Err(faults) => Err(Faults(faults.iter().map(template_fault).collect())),
    }
}

fn template_fault(fault: &TemplateFault) -> Fault {
    let line = fault.line.map(|line| format!(":{line}")).unwrap_or_default();
    Fault {
        place: format!("{}{line}", fault.file.display()),
        key: "mail.templates".to_owned(),
        text: fault.text.clone(),
        remedy: "mend the template, or take the file away: the built-in text serves then"
            .to_owned(),
    }
}

/// Something that the gateway will connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The database, by its address.
    Database(SecretText),
    /// Redis, by its address.
    Redis(SecretText),
    /// The mail server, by its address.
    Smtp(SecretText),
    /// A server of an upstream.
    Upstream {
        /// The upstream's name.
        name: String,
        /// The server.
        server: Endpoint,
    },
    /// The collector of traces.
    Collector,
}

/// What there is to connect to, for `--connect`.
#[must_use]
pub fn targets(settings: &Settings) -> Vec<Target> {
    let mut targets = vec![Target::Database(settings.database.url.clone())];
    if !settings.database.direct_url.is_empty() {
        targets.push(Target::Database(settings.database.direct_url.clone()));
    }
    if !settings.redis.url.is_empty() {
        targets.push(Target::Redis(settings.redis.url.clone()));
    }
    if settings.mail.url.expose().starts_with("smtp") {
        targets.push(Target::Smtp(settings.mail.url.clone()));
    }
    for upstream in &settings.upstreams {
        let servers = upstream.servers.iter().filter_map(|server| server.parse().ok());
        let servers = servers.map(|server: ServerAddress| server.endpoint);
        targets
            .extend(servers.map(|server| Target::Upstream { name: upstream.name.clone(), server }));
    }
    if settings.traces.is_on() {
        targets.push(Target::Collector);
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_with_exit_code_64() {
        let environment = vec![("PORTCULLIS__SERVER__TREADS".to_owned(), "4".to_owned())];
        let mut errors = Vec::new();
        assert_eq!(load(&[], environment, &mut errors), Err(64));
        assert_eq!(
            String::from_utf8(errors).unwrap(),
            "the configuration has a fault:\n  \
             environment variable PORTCULLIS__SERVER__TREADS: server.treads: unknown key\n      \
             did you mean PORTCULLIS__SERVER__THREADS?\n"
        );
    }

    #[test]
    fn warnings_are_told_and_end_nothing() {
        let environment =
            vec![("PORTCULLIS__SERVER__LISTEN".to_owned(), "0.0.0.0:8000".to_owned())];
        let mut errors = Vec::new();
        let settings = load(&[], environment, &mut errors).unwrap();
        assert_eq!(settings.server.listen, ["0.0.0.0:8000".parse().unwrap()]);
        let errors = String::from_utf8(errors).unwrap();
        assert!(
            errors.starts_with("warning: environment variable PORTCULLIS__SERVER__LISTEN: ")
                || errors.starts_with("warning: accounts.registration: "),
            "{errors}"
        );
    }

    #[test]
    fn a_fault_in_a_mail_template_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("activation.txt");
        std::fs::write(&file, "Hello\n{{ nobody }}").unwrap();
        let path = folder.path().display().to_string();
        let environment = vec![("PORTCULLIS__MAIL__TEMPLATES".to_owned(), path)];
        let mut errors = Vec::new();
        assert_eq!(load(&[], environment.clone(), &mut errors), Err(64));
        assert_eq!(
            String::from_utf8(errors).unwrap(),
            format!(
                "the configuration has a fault:\n  {}:2: mail.templates: undefined value: `nobody` is undefined\n      \
                 mend the template, or take the file away: the built-in text serves then\n",
                file.display()
            )
        );
        std::fs::write(&file, "Hello\n{{ username }}").unwrap();
        assert!(load(&[], environment, &mut Vec::new()).is_ok());
    }

    #[test]
    fn everything_that_will_be_connected_to_is_listed() {
        let mut settings = Settings::default();
        assert_eq!(targets(&settings), [Target::Database("sqlite://portcullis.db".into())]);

        settings.mail.url = "smtp://mail.example".into();
        settings.traces.endpoint = "http://127.0.0.1:4318".to_owned();
        settings.upstreams = vec![config::Upstream {
            name: "app".to_owned(),
            servers: vec!["unix:/run/app.sock weight=2".to_owned()],
            ..config::Upstream::default()
        }];
        assert_eq!(
            targets(&settings)[1..],
            [
                Target::Smtp("smtp://mail.example".into()),
                Target::Upstream {
                    name: "app".to_owned(),
                    server: Endpoint::Unix("/run/app.sock".into())
                },
                Target::Collector,
            ]
        );
    }
}
