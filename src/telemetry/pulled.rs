//! Numbers that somebody else keeps, read when they are scraped.
//!
//! What is counted or held anyway needs no second place, and what is read at the scrape cannot
//! stand still unnoticed. It must not know what is read.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// The value of the one label, and the number; without a label nobody looks at its value.
pub(super) type Reading = (String, f64);

type Read = dyn Fn() -> Vec<Reading> + Send + Sync;

/// A metric that is read at each scrape.
pub(super) struct Pulled {
    desc: Desc,
    kind: Kind,
    label: Option<&'static str>,
    read: Box<Read>,
}

impl Pulled {
    /// One number.
    pub(super) fn one(
        kind: Kind,
        (name, help): (&str, &str),
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> prometheus::Result<Self> {
        let read = Box::new(move || vec![(String::new(), read())]);
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Self { desc, kind, label: None, read })
    }

    /// A number for each value of a label.
    pub(super) fn each(
        kind: Kind,
        (name, help): (&str, &str),
        label: &'static str,
        read: impl Fn() -> Vec<Reading> + Send + Sync + 'static,
    ) -> prometheus::Result<Self> {
        let labels = vec![label.to_owned()];
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        Ok(Self { desc, kind, label: Some(label), read: Box::new(read) })
    }

    fn metric(&self, (value, number): Reading) -> Metric {
        let labels = self.label.map(|label| {
            let mut pair = LabelPair::default();
            pair.set_name(label.to_owned());
            pair.set_value(value);
            pair
        });
        let mut metric = Metric::from_label(labels.into_iter().collect());
        match self.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(number);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(number);
                metric.set_gauge(gauge);
            }
        }
        metric
    }
}

impl Collector for Pulled {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let metrics: Vec<_> = (self.read)().into_iter().map(|read| self.metric(read)).collect();
        if metrics.is_empty() {
            return Vec::new();
        }
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(match self.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
        });
        family.set_metric(metrics);
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Registry, TextEncoder};

    use super::*;

    fn text(pulled: Pulled) -> String {
        let registry = Registry::new();
        registry.register(Box::new(pulled)).unwrap();
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn a_number_is_told_with_its_kind_and_label() {
        let one = Pulled::one(Kind::Counter, ("a_total", "Some."), || 7.0).unwrap();
        assert_eq!(text(one), "# HELP a_total Some.\n# TYPE a_total counter\na_total 7\n");
        let read = || vec![("x".to_owned(), 1.0), ("y".to_owned(), 2.5)];
        let each = Pulled::each(Kind::Gauge, ("b", "Some."), "of", read).unwrap();
        let expected = "# HELP b Some.\n# TYPE b gauge\nb{of=\"x\"} 1\nb{of=\"y\"} 2.5\n";
        assert_eq!(text(each), expected);
    }

    #[test]
    fn where_there_is_nothing_to_read_nothing_is_told() {
        let none = Pulled::each(Kind::Gauge, ("b", "Some."), "of", Vec::new).unwrap();
        assert_eq!(text(none), "");
    }
}
