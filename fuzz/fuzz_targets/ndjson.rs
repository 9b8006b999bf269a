//! The NDJSON reader: an upload in any pieces has the same lines, and the reader keeps at most one
//! line. An accepted event agrees with another JSON parser.
//!
//! Input: the limit of a line, the length of a piece, the upload.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tinistreamer::codec::{
    json,
    ndjson::{Line, Lines},
};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (limit, piece, upload) = (usize::from(input.0), usize::from(input.1).max(1), input.2);
    let lines = in_pieces(upload, piece, limit);
    assert_eq!(lines, as_a_whole(upload, limit));
    for line in lines {
        if let Line::Text(_, text) = line {
            check_event(&text);
        }
    }
});

fn in_pieces(upload: &[u8], piece: usize, limit: usize) -> Vec<Line> {
    let mut reader = Lines::new(limit);
    let mut lines = Vec::new();
    for piece in upload.chunks(piece) {
        reader.buffer().extend_from_slice(piece);
        lines.extend(std::iter::from_fn(|| reader.next_line()));
        // A CR may start a line end, which does not count.
        assert!(
            reader.buffer().len() <= limit + 1,
            "more than a line is kept"
        );
    }
    lines.extend(reader.last_line());
    lines
}

fn as_a_whole(upload: &[u8], limit: usize) -> Vec<Line> {
    let upload = upload.strip_suffix(b"\n").unwrap_or(upload);
    let line = |(number, line): (u64, &[u8])| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > limit {
            return Some(Line::TooLong(number));
        }
        (!line.trim_ascii().is_empty()).then(|| Line::Text(number, Bytes::copy_from_slice(line)))
    };
    (1..)
        .zip(upload.split(|&byte| byte == b'\n'))
        .filter_map(line)
        .collect()
}

fn check_event(text: &[u8]) {
    let Ok(event) = json::event(text, usize::MAX) else {
        return;
    };
    // Numbers that are too large for a float are kept as they were sent, but `Value` can't hold
    // them.
    let Ok(value) = serde_json::from_slice::<Value>(text) else {
        return;
    };
    assert_eq!(value["event"], event.name());
    match &value["data"] {
        Value::Null => assert_eq!(event.data(), None),
        Value::String(data) => assert_eq!(event.data(), Some(&**data)),
        data => assert_eq!(
            event
                .data()
                .and_then(|text| serde_json::from_str(text).ok())
                .as_ref(),
            Some(data)
        ),
    }
}
