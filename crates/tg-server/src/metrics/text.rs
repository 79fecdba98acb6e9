//! Writes the Prometheus text format, version 0.0.4: names, help, labels, numbers. Counts nothing.

use std::fmt::{Display, Write as _};

use super::family::{Family, Kind};

/// Content type of what is written here.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why writing to a string is no matter.
const TEXT: &str = "writing to a string cannot fail";

/// Text that grows family by family.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// Opens a family: help and type, once, before its samples.
    pub fn family(&mut self, family: &Family) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let name = family.name;
        write!(self.0, "# HELP {name} {}\n# TYPE {name} {kind}\n", family.help).expect(TEXT);
    }

    /// One sample.
    pub fn sample<V: AsRef<str>>(&mut self, name: &str, labels: &[(&str, V)], value: impl Display) {
        self.0.push_str(name);
        self.labels(labels, None);
        writeln!(self.0, " {value}").expect(TEXT);
    }

    /// The buckets, sum and count of a histogram. `buckets` holds one count per bound and one for what
    /// lies above all, each for itself; they are written cumulated.
    pub fn histogram<V: AsRef<str>>(
        &mut self,
        family: &Family,
        labels: &[(&str, V)],
        buckets: &[u64],
        sum: f64,
    ) {
        let bounds = family.bounds.iter().map(|(_, word)| *word).chain(["+Inf"]);
        let mut count = 0;
        for (word, bucket) in bounds.zip(buckets) {
            count += bucket;
            write!(self.0, "{}_bucket", family.name).expect(TEXT);
            self.labels(labels, Some(word));
            writeln!(self.0, " {count}").expect(TEXT);
        }
        for (suffix, value) in [("_sum", &sum as &dyn Display), ("_count", &count)] {
            write!(self.0, "{}{suffix}", family.name).expect(TEXT);
            self.labels(labels, None);
            writeln!(self.0, " {value}").expect(TEXT);
        }
    }

    /// A remark for people; scrapers skip it. `what` is one line of ours.
    pub fn note(&mut self, what: &'static str) {
        writeln!(self.0, "# {what}").expect(TEXT);
    }

    /// The whole text.
    pub fn into_string(self) -> String {
        self.0
    }

    fn labels<V: AsRef<str>>(&mut self, labels: &[(&str, V)], bound: Option<&str>) {
        let named = labels.iter().map(|(name, value)| (*name, value.as_ref()));
        let mut lead = '{';
        for (name, value) in named.chain(bound.map(|bound| ("le", bound))) {
            write!(self.0, "{lead}{name}=\"").expect(TEXT);
            lead = ',';
            for sign in value.chars() {
                match sign {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
        }
        if lead == ',' {
            self.0.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: Family =
        Family { name: "waits", help: "Waits.", kind: Kind::Histogram, bounds: &[(0.5, "0.5"), (1.0, "1")] };

    #[test]
    fn a_hostile_label_stays_in_its_quotes_and_buckets_add_up() {
        let mut text = Text::default();
        text.family(&FAMILY);
        text.histogram(&FAMILY, &[("model", "a\"} 1\n\\b")], &[1, 2, 4], 9.25);
        let label = "model=\"a\\\"} 1\\n\\\\b\"";
        assert_eq!(
            text.into_string(),
            format!(
                "# HELP waits Waits.\n# TYPE waits histogram\n\
                 waits_bucket{{{label},le=\"0.5\"}} 1\nwaits_bucket{{{label},le=\"1\"}} 3\n\
                 waits_bucket{{{label},le=\"+Inf\"}} 7\nwaits_sum{{{label}}} 9.25\nwaits_count{{{label}}} 7\n"
            )
        );
    }

    #[test]
    fn a_sample_without_labels_has_no_braces() {
        let mut text = Text::default();
        text.sample::<&str>("sse_clients", &[], 3);
        assert_eq!(text.into_string(), "sse_clients 3\n");
    }
}
