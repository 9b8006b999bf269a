use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rollup(names: &[&str], paths: &[&str]) -> Rollup {
    Rollup::read(names, paths, None).unwrap().unwrap()
}

fn batch(entries: &[Entry]) -> Batch {
    let segment = Arc::new(Segment::new(entries.to_vec()));
    Batch {
        parts: vec![Part::new(segment, 0)],
        ..Batch::default()
    }
}

fn entries(events: &[(&str, Option<String>)]) -> Vec<Entry> {
    let entry = |(n, (name, data)): (u64, &(&str, Option<String>))| Entry {
        id: EventId { ms: 1, n },
        name: (*name).into(),
        data: data.as_deref().map(Into::into),
    };
    (0..).zip(events).map(entry).collect()
}

/// Joins batches one after the other. Returns the number of the last event, the data and the count
/// of each frame.
fn joined<'a>(
    rollup: &Rollup,
    batches: impl IntoIterator<Item = &'a [Entry]>,
) -> Vec<(u64, String, Option<String>, u32)> {
    let (mut run, mut at, mut all) = (None, Position::Start, Vec::new());
    let mut take = |batch: &Batch| {
        for (entry, count) in batch.counted() {
            let data = entry.data.as_deref().map(ToOwned::to_owned);
            all.push((entry.id.n, entry.name.to_string(), data, count));
        }
    };
    for entries in batches {
        take(&rollup.join(batch(entries), &mut run, at, |_| true));
        if let Some(run) = &run {
            // A subscriber that is cut off now has the position before the run.
            let sent = entries.last().unwrap().id.n + 1 - u64::from(run.count);
            assert_eq!(run.before.id().map_or(0, |id| id.n + 1), sent);
        }
        at = Position::At(entries.last().unwrap().id);
    }
    if let Some(run) = run {
        take(&run.into_batch());
    }
    all
}

#[test]
fn parameters_that_are_no_rollup_are_refused() {
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    let many = ["a"; MAX_RULES + 1];
    for (names, paths, ms) in [
        (&[""][..], &[][..], None),
        (&[&*long], &[], None),
        (&["a\n"], &[], None),
        (&["a", "a"], &[], None),
        (&many, &[], None),
        (&["a"], &["/x", "/y"], None),
        (&["a"], &["x"], None),
        (&[], &["/x"], None),
        (&[], &[], Some("5")),
        (&["a"], &[], Some("501")),
        (&["a"], &[], Some("")),
    ] {
        assert!(
            Rollup::read(names, paths, ms).is_err(),
            "{names:?} {paths:?} {ms:?}"
        );
    }
    assert_eq!(Rollup::read(&[], &[], None), Ok(None));
    let read = Rollup::read(&["a", "b"], &["", "/x"], Some("500"))
        .unwrap()
        .unwrap();
    assert_eq!(read.gather, Duration::from_millis(500));
    assert_eq!(read.rules[0].path, None);
    assert_eq!(read.rules[1].path, Some("/x".parse().unwrap()));
}

#[test]
fn only_events_that_differ_in_the_text_alone_become_one() {
    let delta = |id: u64, text: &str| Some(json!({"id": id, "delta": {"text": text}}).to_string());
    let big = r#"{"delta":{"text":"b"},"n":12345678901234567890.10}"#;
    let all = entries(&[
        ("t", delta(1, "a")),
        ("t", delta(1, "\n\"é")),
        ("t", delta(2, "b")),
        ("t", Some("no JSON".to_owned())),
        ("t", Some(big.to_owned())),
        ("t", Some(big.replace("\"b\"", "\"c\""))),
        ("t", Some(big.replace(".10", ".1"))),
        ("t", None),
        ("u", delta(2, "d")),
        ("t", delta(2, "e")),
    ]);
    let frames = joined(&rollup(&["t"], &["/delta/text"]), [&all[..]]);
    let numbers: Vec<_> = frames.iter().map(|(n, _, _, count)| (*n, *count)).collect();
    let expected = [
        (1, 2),
        (2, 1),
        (3, 1),
        (5, 2),
        (6, 1),
        (7, 1),
        (8, 1),
        (9, 1),
    ];
    assert_eq!(numbers, expected);
    assert_eq!(frames[0].2, delta(1, "a\n\"é"));
    assert_eq!(frames[3].2, Some(big.replace("\"b\"", "\"bc\"")));
    assert_eq!(frames[5].2, None);
}

#[test]
fn no_frame_is_longer_than_the_limit() {
    let piece = "x".repeat(300_000);
    let all = entries(&vec![("t", Some(piece)); 10]);
    let frames = joined(&rollup(&["t"], &[]), all.chunks(1));
    let counts: Vec<_> = frames.iter().map(|(_, _, _, count)| *count).collect();
    assert_eq!(counts, [3, 3, 3, 1]);
}

#[test]
fn the_last_event_of_a_finished_stream_stays_by_itself() {
    let all = entries(&[("end", None), ("end", Some("x".to_owned())), ("end", None)]);
    let finished = Batch {
        finished: Some(crate::stream::Status::Ended),
        ..batch(&all)
    };
    let mut run = None;
    let joined = rollup(&["end"], &[]).join(finished, &mut run, Position::Start, |_| true);
    let counts: Vec<_> = joined.counted().map(|(_, count)| count).collect();
    assert_eq!((counts, run.is_none()), (vec![2, 1], true));
}

proptest! {
    #[test]
    fn frames_are_the_same_however_the_pages_are_cut(
        events in prop::collection::vec(
            (prop::sample::select(vec!["t", "u", "v"]), prop::option::of("[ab\"]{0,3}")),
            1..40,
        ),
        page in 1..10_usize,
    ) {
        let all = entries(&events);
        let rollup = rollup(&["t", "u"], &[]);
        let frames = joined(&rollup, all.chunks(page));
        prop_assert_eq!(&frames, &joined(&rollup, [&all[..]]));

        // The frames have all events, in order, and each run is as long as it can be.
        let mut next = 0;
        for (last, name, data, count) in &frames {
            let events = &events[next..next + *count as usize];
            prop_assert!(events.iter().all(|(event, _)| event == name));
            let has_data = events.iter().any(|(_, data)| data.is_some());
            let text: String = events.iter().filter_map(|(_, data)| data.clone()).collect();
            prop_assert_eq!(data, &has_data.then_some(text));
            next += events.len();
            prop_assert_eq!(*last, next as u64 - 1);
        }
        prop_assert_eq!(next, events.len());
        for pair in frames.windows(2) {
            prop_assert!(pair[0].1 == "v" || pair[0].1 != pair[1].1);
        }
    }
}
