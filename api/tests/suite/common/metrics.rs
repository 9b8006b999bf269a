//! A strict reader of [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/)
//! text. It panics at anything that the format does not allow.

use std::collections::{BTreeMap, BTreeSet};

/// The metrics of a broker.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By name and, in order of their keys, labels: `name{a="b",c="d"}`.
    samples: BTreeMap<String, String>,
    /// Type by family.
    families: BTreeMap<String, String>,
}

/// A family of samples during parsing.
#[derive(Default)]
struct Family {
    name: String,
    kind: Option<String>,
    help: bool,
    unit: bool,
    has_samples: bool,
}

impl Metrics {
    pub(crate) fn read(text: &str) -> Self {
        let body = text
            .strip_suffix("# EOF\n")
            .expect("the text ends with # EOF");
        let (mut metrics, mut family) = (Self::default(), Family::default());
        for line in body.lines() {
            if let Some(about) = line.strip_prefix("# ") {
                let [what, name, value] = about
                    .splitn(3, ' ')
                    .collect::<Vec<_>>()
                    .try_into()
                    .unwrap_or_else(|_| panic!("three words: {line}"));
                if name != family.name {
                    metrics.close(std::mem::take(&mut family));
                    assert!(
                        is_name(name) && !metrics.families.contains_key(name),
                        "a unique name: {line}"
                    );
                    name.clone_into(&mut family.name);
                }
                assert!(!family.has_samples, "comes before the samples: {line}");
                match what {
                    "HELP" => assert!(
                        !std::mem::replace(&mut family.help, true) && !value.is_empty(),
                        "one text: {line}"
                    ),
                    "TYPE" => assert!(
                        family.kind.replace(value.to_owned()).is_none(),
                        "one type: {line}"
                    ),
                    "UNIT" => {
                        assert!(
                            !std::mem::replace(&mut family.unit, true)
                                && name.ends_with(&format!("_{value}")),
                            "in the name: {line}"
                        );
                    }
                    _ => panic!("not HELP, TYPE or UNIT: {line}"),
                }
            } else {
                metrics.sample(&mut family, line);
            }
        }
        metrics.close(family);
        metrics.check_histograms();
        metrics
    }

    fn close(&mut self, family: Family) {
        if !family.name.is_empty() {
            assert!(
                family.help && family.has_samples,
                "{} has a text and samples",
                family.name
            );
            self.families
                .insert(family.name, family.kind.expect("a type"));
        }
    }

    fn sample(&mut self, family: &mut Family, line: &str) {
        let (series, value) = line
            .rsplit_once(' ')
            .unwrap_or_else(|| panic!("a series and a value: {line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (
                name,
                read_labels(
                    labels
                        .strip_suffix('}')
                        .unwrap_or_else(|| panic!("a closing brace: {line}")),
                ),
            ),
            None => (series, BTreeMap::new()),
        };
        let kind = family
            .kind
            .as_deref()
            .unwrap_or_else(|| panic!("a type before {line}"));
        let suffix = name
            .strip_prefix(&family.name)
            .unwrap_or_else(|| panic!("of the family {}: {line}", family.name));
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_count", "_sum"],
            "info" => &["_info"],
            _ => panic!("an unknown type: {kind}"),
        };
        assert!(suffixes.contains(&suffix), "a {kind}: {line}");
        assert_eq!(labels.contains_key("le"), suffix == "_bucket", "{line}");
        let number: f64 = value.parse().unwrap_or_else(|_| panic!("a number: {line}"));
        assert!(
            number.is_finite() && (kind == "gauge" || number >= 0.0),
            "{line}"
        );
        family.has_samples = true;
        assert!(
            self.samples
                .insert(key(name, &labels), value.to_owned())
                .is_none(),
            "defined twice: {line}"
        );
    }

    /// Checks that buckets grow, and that the last one counts all.
    fn check_histograms(&self) {
        for (family, _) in self
            .families
            .iter()
            .filter(|(_, kind)| *kind == "histogram")
        {
            let mut series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
            for (sample, count) in self
                .samples
                .range(format!("{family}_bucket{{")..)
                .take_while(|(key, _)| key.starts_with(family))
            {
                let Some(labels) = sample.strip_prefix(&format!("{family}_bucket{{")) else {
                    continue;
                };
                let mut labels = read_labels(labels.trim_end_matches('}'));
                let le = labels.remove("le").unwrap().parse().unwrap();
                series
                    .entry(key(&format!("{family}_count"), &labels))
                    .or_default()
                    .push((le, count.parse().unwrap()));
            }
            assert!(!series.is_empty(), "{family} has buckets");
            for (count, mut buckets) in series {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.is_sorted_by_key(|bucket| bucket.1), "{count}");
                assert_eq!(
                    buckets.last(),
                    Some(&(f64::INFINITY, self.samples[&count].parse().unwrap())),
                    "{count}"
                );
            }
        }
    }

    /// A whole number by its name and labels, without the common prefix.
    pub(crate) fn get(&self, series: &str) -> u64 {
        let value = self
            .samples
            .get(&format!("tinistreamer_{series}"))
            .unwrap_or_else(|| panic!("{series} is measured"));
        value
            .parse()
            .unwrap_or_else(|_| panic!("a whole number, not {value}"))
    }

    /// The number of samples.
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    /// The names of all samples. A histogram has the name of its family.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let suffix = |kind: &str| match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        self.families
            .iter()
            .map(|(name, kind)| format!("{name}{}", suffix(kind)))
            .collect()
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// `a="b",c="d"`, without escapes: no label here needs one.
fn read_labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for pair in text.split("\",").map(|pair| pair.trim_end_matches('"')) {
        let (name, value) = pair
            .split_once("=\"")
            .unwrap_or_else(|| panic!("a label: {pair}"));
        assert!(
            is_name(name) && !value.contains(['"', '\\', '\n']),
            "{pair}"
        );
        assert!(
            labels.insert(name.to_owned(), value.to_owned()).is_none(),
            "{name} twice"
        );
    }
    labels
}

fn key(name: &str, labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    if labels.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", labels.join(","))
    }
}
