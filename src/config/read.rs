//! From a tree of values to typed settings, with a fault for each value that cannot be read.
//!
//! serde stops at the first fault. So what it stumbled over is noted, taken out, and the rest
//! read again until nothing is wrong. Each round takes something out: it ends.

use config::Value;
use serde_path_to_error::{Deserializer, Segment, Track};

use super::fault::Report;
use super::sections::Settings;
use super::tree::{Places, plain, take_out};

/// The settings, with defaults in place of what is faulty, and where the rest comes from.
pub(super) fn read(mut tree: Value, report: &mut Report) -> Settings {
    loop {
        let mut track = Track::new();
        let plain = plain(&tree);
        let read: Result<Settings, _> =
            serde::Deserialize::deserialize(Deserializer::new(plain, &mut track));
        let error = match read {
            Ok(settings) => {
                report.places = Places::within(&tree);
                return settings;
            }
            Err(error) => error.to_string(),
        };
        let (mut steps, mut key) = (Vec::new(), Vec::new());
        let path = track.path();
        let mut segments = path.iter().peekable();
        while let Some(segment) = segments.next() {
            match segment {
                Segment::Map { key: name } => {
                    steps.push(name.clone());
                    key.push(name.clone());
                }
                Segment::Seq { index } => {
                    steps.push(index.to_string());
                    // The place of an element says more than its number, which changes when
                    // one before it is taken out.
                    if segments.peek().is_some() {
                        key.push(index.to_string());
                    }
                }
                Segment::Enum { .. } | Segment::Unknown => break,
            }
        }
        let (text, remedy) = split(&error);
        let place = take_out(&mut tree, &steps);
        let found = place.is_some();
        report.fault_at(&place.unwrap_or_default(), &key.join("."), text, remedy);
        if !found {
            // Nothing to take out, so nothing would change: a type and its schema disagree.
            report.places = Places::within(&tree);
            return Settings::default();
        }
    }
}

/// Errors of value types read "what is wrong; what to write".
fn split(error: &str) -> (String, String) {
    match error.split_once("; ") {
        Some((text, remedy)) => (text.to_owned(), remedy.to_owned()),
        None => {
            (error.to_owned(), "`portcullis config example` shows how it is written".to_owned())
        }
    }
}
