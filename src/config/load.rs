//! The way from files and environment to checked settings.
//!
//! Lowest first: the product's defaults, djoser's where `compatibility` asks for them, the
//! header preset, the variables of OpenTelemetry, the files in their order, the environment.
//! Every step adds its faults to one report, and only the end decides.

use std::path::PathBuf;

use config::builder::DefaultState;
use config::{Config, ConfigBuilder, Value};

use super::fault::{Faults, Report, Warning};
use super::sections::Settings;
use super::shape::Shape;
use super::tree::Layer;
use super::{check, defaults, planned, read, refused, secrets, sources};

/// Settings that are good, and what is worth knowing about them.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The effective values.
    pub settings: Settings,
    /// To be told to the operator.
    pub warnings: Vec<Warning>,
}

/// Reads `files` in order and then `environment` (`PORTCULLIS__SECTION__KEY`), where later
/// values win, and checks the whole.
///
/// # Errors
/// Every fault that there is, not only the first.
pub fn load(files: &[PathBuf], environment: Vec<(String, String)>) -> Result<Loaded, Faults> {
    let mut report = Report::default();
    let mut layers = Vec::new();
    for file in files {
        layers.extend(sources::file(file, &mut report));
    }
    let all_read = layers.len() == files.len();
    layers.insert(0, sources::well_known(&environment, &mut report));
    layers.push(sources::environment(&environment, &mut report));
    drop(environment);

    for layer in &mut layers {
        refused::take_out(&mut layer.0, &mut report);
        secrets::read_files(&mut layer.0, &mut report);
        Shape::root().fit(&mut layer.0, &mut report);
    }
    let below = defaults::beneath(&mut layers, &mut report);
    let mut settings = read::read(merge(below.into_iter().chain(layers)), &mut report);
    settle(&mut settings, &report);

    // Without one of its files, what is missing and what contradicts what is guesswork.
    if all_read {
        check::all(&settings, &mut report);
        planned::warn(&settings, &mut report);
    }
    let warnings = report.finish()?;
    Ok(Loaded { settings, warnings })
}

fn merge(layers: impl Iterator<Item = Layer>) -> Value {
    let builder = layers.fold(Config::builder(), ConfigBuilder::<DefaultState>::add_source);
    // Our sources cannot fail, and nothing else is built from.
    builder.build().map(|config| config.cache).unwrap_or_default()
}

/// Fills in what follows from other values, so that nobody needs to know that it does.
fn settle(settings: &mut Settings, report: &Report) {
    for (index, route) in settings.routes.iter_mut().enumerate() {
        report.places.of(&format!("routes.{index}")).clone_into(&mut route.origin);
        route.hosts.iter_mut().for_each(|host| host.make_ascii_lowercase());
    }
    let accounts = &mut settings.accounts;
    let (protocol, domain) = (&accounts.email_frontend_protocol, &accounts.email_frontend_domain);
    if accounts.site_url.is_empty() && !protocol.is_empty() && !domain.is_empty() {
        accounts.site_url = format!("{protocol}://{domain}");
    }
}
