//! Files and the environment, read into layers whose values know where they were written.
//!
//! Their own readers rather than the config crate's: those know neither line nor variable,
//! stop at the first fault, and turn the password `007` into 7.

mod environment;
mod toml;
mod well_known;
mod yaml;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub(super) use environment::{is_variable, read as environment, variable_name};
pub(super) use well_known::read as well_known;

use super::fault::Report;
use super::tree::Layer;

/// More than any configuration needs; whoever names a disk image by mistake should be told.
const LARGEST_FILE: u64 = 1 << 20;

/// Reads a file. What is wrong with it is reported; a file that cannot be read as a whole
/// gives nothing.
pub(super) fn file(path: &Path, report: &mut Report) -> Option<Layer> {
    let name = path.display().to_string();
    report.begin(&name);
    let format = match path.extension().map(|ending| ending.to_string_lossy().to_lowercase()) {
        None => toml::read,
        Some(ending) if ending == "toml" => toml::read,
        Some(ending) if ["yaml", "yml", "json"].contains(&ending.as_str()) => yaml::read,
        Some(_) => {
            let remedy = "name it .toml, .yaml, .yml or .json, after what is in it";
            report.fault_at(&name, "", "the file's ending does not tell its format", remedy);
            return None;
        }
    };
    match text_of(path, LARGEST_FILE) {
        Ok(text) => format(&name, text.strip_prefix('\u{feff}').unwrap_or(&text), report),
        Err(error) => {
            let remedy = "check the path, taken from the current folder, and the permissions";
            report.fault_at(&name, "", format!("the file cannot be read: {error}"), remedy);
            None
        }
    }
}

/// A set of defaults of our own, written in TOML. All of it lies at `place`.
pub(super) fn built_in(place: &str, text: &str, report: &mut Report) -> Layer {
    toml::read_at(place, text, report)
}

/// The text of a file that is not larger than it should be.
pub(super) fn text_of(path: &Path, largest: u64) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    let read =
        file.take(largest + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if u64::try_from(read).is_ok_and(|read| read <= largest) {
        Ok(text)
    } else {
        Err(format!("it is larger than {largest} bytes"))
    }
}
