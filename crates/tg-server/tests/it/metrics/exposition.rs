//! A strict reader of the Prometheus text format: it refuses what a scraper would, and more.

use std::collections::BTreeMap;

/// Labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// What a page of metrics holds, well-formed.
#[derive(Debug, Default)]
pub struct Page {
    kinds: BTreeMap<String, String>,
    samples: Vec<(String, Labels, f64)>,
}

/// Reads a page.
///
/// # Panics
/// At the first thing that is not as the format wants it.
pub fn read(text: &str) -> Page {
    assert!(text.ends_with('\n'), "the last line must end");
    let mut page = Page::default();
    let mut helped = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!helped.contains(&name.to_owned()) && !help.is_empty(), "{line}");
            helped.push(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(helped.last().map(String::as_str), Some(name), "help comes right before: {line}");
            assert!(page.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
        } else if !line.starts_with("# ") {
            let sample = sample(line);
            let family = page.family(&sample.0);
            assert_eq!(
                helped.last(),
                Some(&family),
                "samples of a family come together, after its type: {line}"
            );
            let is_known =
                page.samples.iter().any(|(name, labels, _)| (name, labels) == (&sample.0, &sample.1));
            assert!(!is_known, "a series comes once: {line}");
            page.samples.push(sample);
        }
    }
    page.check_histograms();
    page
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_').unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(!name.is_empty() && !name.starts_with(|sign: char| sign.is_ascii_digit()), "{line}");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(label.chars().all(|sign| sign.is_ascii_lowercase() || sign == '_'), "{line}");
            let (value, after) = quoted(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            if let Some(after) = after.strip_prefix(',') {
                rest = after;
            } else {
                rest = after.strip_prefix('}').unwrap();
                break;
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap();
    let number: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    assert!(number >= 0.0, "{line}");
    (name.to_owned(), labels, number)
}

/// Text up to the closing quote, escapes undone, and what follows.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match signs.next().unwrap().1 {
                '\\' => '\\',
                '"' => '"',
                'n' => '\n',
                other => panic!("unknown escape {other}: {text}"),
            }),
            other => value.push(other),
        }
    }
    panic!("no closing quote: {text}")
}

impl Page {
    fn family(&self, sample: &str) -> String {
        for suffix in ["_bucket", "_sum", "_count"] {
            if let Some(name) = sample.strip_suffix(suffix)
                && self.kinds.get(name).is_some_and(|kind| kind == "histogram")
            {
                return name.to_owned();
            }
        }
        sample.to_owned()
    }

    /// Buckets grow, their bounds too, the last is `+Inf` and holds the count.
    fn check_histograms(&self) {
        for name in self.kinds.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
            let mut series: BTreeMap<Labels, Vec<(String, f64)>> = BTreeMap::new();
            for (_, labels, value) in self.samples.iter().filter(|(own, ..)| *own == format!("{name}_bucket"))
            {
                let mut labels = labels.clone();
                let bound = labels.remove("le").unwrap();
                series.entry(labels).or_default().push((bound, *value));
            }
            for (labels, buckets) in series {
                let bounds: Vec<f64> = buckets.iter().map(|(bound, _)| bound.parse().unwrap()).collect();
                assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{name} {labels:?}: {buckets:?}");
                assert!(
                    buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                    "{name} {labels:?}: {buckets:?}"
                );
                let (bound, count) = buckets.last().unwrap();
                assert_eq!(bound, "+Inf");
                assert_eq!(
                    Some(*count),
                    self.exactly(&format!("{name}_count"), &labels),
                    "{name} {labels:?}"
                );
                assert!(self.exactly(&format!("{name}_sum"), &labels).is_some(), "{name} {labels:?}");
            }
        }
    }

    fn exactly(&self, name: &str, labels: &Labels) -> Option<f64> {
        let mut found = self.samples.iter().filter(|(own, has, _)| own == name && has == labels);
        found.next().map(|(.., value)| *value)
    }

    /// Sum of the samples of this name that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |own: &Labels| {
            labels.iter().all(|(label, value)| own.get(*label).is_some_and(|own| own == value))
        };
        self.samples
            .iter()
            .filter(|(own, has_labels, _)| own == name && has(has_labels))
            .map(|(.., value)| value)
            .sum()
    }

    /// Every value of a label.
    pub fn values(&self, label: &str) -> std::collections::BTreeSet<String> {
        self.samples.iter().filter_map(|(_, labels, _)| labels.get(label).cloned()).collect()
    }

    /// Names of the families.
    pub fn families(&self) -> Vec<&str> {
        self.kinds.keys().map(String::as_str).collect()
    }
}
