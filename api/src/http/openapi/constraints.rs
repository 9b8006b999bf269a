//! Constraints of strings, and of members that depend on each other: lengths, patterns, formats,
//! `oneOf`.
//!
//! A pattern never refuses what the broker accepts. If a pattern can't express a rule, a format
//! names the rule; `tests/openapi/hooks.py` makes strings of each format.

use serde_json::{Value, json};
use utoipa::{
    Modify,
    openapi::{
        OpenApi, RefOr, Schema, SchemaFormat,
        extensions::Extensions,
        path::{Operation, Parameter, PathItem},
        schema::{ArrayItems, Object, SchemaType, Type},
    },
};

use crate::{
    auth::permissions::MAX_SUBJECT_BYTES,
    codec::json::{MAX_BY_BYTES, MAX_CODE, MAX_REASON_BYTES},
    http::subscribe::metadata::MAX_NAME_BYTES as MAX_CLIENT_NAME_BYTES,
    session::MAX_RULES,
    stream::{MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_PRODUCER_BYTES, MAX_SIGNAL_ID, RESERVED_NAMES},
};

/// One character or more, none of them a control character.
const PRINTABLE: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

/// The same, or an empty string.
const PRINTABLE_OR_EMPTY: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// The name of a producer.
const PRODUCER: &str = "^[A-Za-z0-9_-]+$";

/// A generation.
const GENERATION: &str = "^[0-9A-Fa-f]{32}$";

/// The code of a failure.
const FAILURE_CODE: &str = "^[a-z0-9-]+$";

/// A JSON pointer, or an empty string.
const POINTER: &str = "^(/([^/~]|~[01])*){0,16}$";

/// A glob: each `[` begins a class, and a `]` closes it.
const GLOB: &str = r"^([^\[]|\[[^!][^\]]*\]|\[![\s\S][^\]]*\])*$";

/// An event's id, or positions in several streams (`docs/reference/cursors.md`).
const CURSOR: &str = concat!(
    r"^([0-9]+-[0-9]+|",
    r"(~[A-Za-z0-9_-]+|[^,]*:([0-9]+-[0-9]+!?)?)",
    r"(,(~[A-Za-z0-9_-]+|[^,]*:([0-9]+-[0-9]+!?)?))*",
    r")?$"
);

/// A start position.
const START_POSITION: &str = "^(start|now|-[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+)?$";

/// An event names filter: names, which may end with a star.
const EVENT_FILTER: &str = r"^\s*([^,*]+\*?|\*)\s*(,\s*([^,*]+\*?|\*)\s*)*$";

/// How long a poll waits, in seconds, or a boolean.
const POLL_WAIT: &str = "^(true|false|[0-9]|[1-5][0-9]|60)$";

/// The format of a string whose `maxLength` also limits its bytes of UTF-8. A string of ASCII
/// characters may have that many characters. Others may have fewer.
const BYTE_LIMITED: &str = "byte-limited";

/// The constraints of a string.
#[derive(Clone, Copy, Default)]
struct Text {
    min: Option<usize>,
    max: Option<usize>,
    pattern: Option<&'static str>,
    format: Option<&'static str>,
}

impl Text {
    /// 1 to `max` bytes of UTF-8 that match a pattern.
    const fn named(max: usize, pattern: &'static str) -> Self {
        Self {
            min: Some(1),
            max: Some(max),
            pattern: Some(pattern),
            format: Some(BYTE_LIMITED),
        }
    }

    const fn of(pattern: &'static str, format: Option<&'static str>) -> Self {
        Self {
            min: None,
            max: None,
            pattern: Some(pattern),
            format,
        }
    }
}

const KEY: Text = Text::named(MAX_KEY_BYTES, PRINTABLE);

/// The name of a producer is ASCII, so that each character is one byte.
const PRODUCER_NAME: Text = Text {
    min: Some(1),
    max: Some(MAX_PRODUCER_BYTES),
    pattern: Some(PRODUCER),
    format: None,
};

/// A text of at most so many bytes.
const fn limited(max: usize) -> Text {
    Text {
        min: None,
        max: Some(max),
        pattern: None,
        format: Some(BYTE_LIMITED),
    }
}

const LONG_TEXT: Text = limited(MAX_REASON_BYTES);
const SHORT_TEXT: Text = limited(MAX_BY_BYTES);

const FAILURE: Text = Text {
    min: Some(1),
    max: Some(MAX_CODE),
    pattern: Some(FAILURE_CODE),
    format: None,
};

const SUBJECT: Text = Text::named(MAX_SUBJECT_BYTES, PRINTABLE);

/// The strings of bodies: schema, member, constraints.
const MEMBERS: [(&str, &str, Text); 26] = [
    ("CreateStream", "key", KEY),
    ("CreateStream", "request_id", Text::named(64, PRINTABLE)),
    ("EndStream", "key", KEY),
    ("EndStream", "generation", Text::of(GENERATION, None)),
    ("CancelStream", "key", KEY),
    ("CancelStream", "reason", LONG_TEXT),
    ("CancelStream", "by", SHORT_TEXT),
    ("CancelStream", "generation", Text::of(GENERATION, None)),
    ("FailStream", "key", KEY),
    ("FailStream", "code", FAILURE),
    ("FailStream", "message", LONG_TEXT),
    ("FailStream", "generation", Text::of(GENERATION, None)),
    ("RenewStream", "key", KEY),
    ("RenewStream", "generation", Text::of(GENERATION, None)),
    ("SendSignal", "name", FAILURE),
    ("SendSignal", "id", Text::named(MAX_SIGNAL_ID, PRINTABLE)),
    ("SendSignal", "generation", Text::of(GENERATION, None)),
    ("CreateStream", "subject", SUBJECT),
    ("IssueToken", "subject", SUBJECT),
    ("IssueToken", "key", KEY),
    ("IssueToken", "keys", KEY),
    ("IssueToken", "prefix", KEY),
    ("AddEvents", "key", KEY),
    ("AddEvents", "producer", PRODUCER_NAME),
    ("AddEvents", "generation", Text::of(GENERATION, None)),
    ("Event", "event", Text::named(MAX_NAME_BYTES, PRINTABLE)),
];

/// The constraints of a parameter.
fn text_of(operation: &str, name: &str) -> Option<Text> {
    match (operation, name) {
        (_, "key") => Some(KEY),
        (_, "producer") => Some(PRODUCER_NAME),
        (_, "last_event_id" | "lastEventId" | "Last-Event-ID" | "after") => {
            Some(Text::of(CURSOR, Some("event-cursor")))
        }
        (_, "from") => Some(Text::of(START_POSITION, Some("start-position"))),
        (_, "generation") => Some(Text::of(GENERATION, None)),
        (_, "rollup") => Some(Text::named(MAX_NAME_BYTES, PRINTABLE)),
        (_, "rollup_path") => Some(Text::of(POINTER, Some("json-pointer-or-empty"))),
        (_, "events") => Some(Text::of(EVENT_FILTER, Some("event-filter"))),
        (_, "tags") => Some(Text::of(PRINTABLE_OR_EMPTY, Some("tag-list"))),
        (_, "client_name") => Some(Text {
            min: None,
            ..Text::named(MAX_CLIENT_NAME_BYTES, PRINTABLE_OR_EMPTY)
        }),
        (_, "pattern") => Some(Text::of(GLOB, None)),
        ("upload_events", "signals") => Some(Text::of("^stop$", None)),
        ("poll_events", "wait") => Some(Text::of(POLL_WAIT, None)),
        _ => None,
    }
}

/// Adds to the document what the attributes of the routes can't express, or would repeat.
pub(super) struct Constraints;

impl Modify for Constraints {
    fn modify(&self, document: &mut OpenApi) {
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            let id = operation.operation_id.clone().unwrap_or_default();
            for parameter in operation.parameters.iter_mut().flatten() {
                let RefOr::T(Parameter {
                    name,
                    schema: Some(schema),
                    ..
                }) = parameter
                else {
                    continue;
                };
                never_null(schema);
                if let Some(text) = text_of(&id, name) {
                    constrain(schema, text);
                }
                if let ("rollup" | "rollup_path", RefOr::T(Schema::Array(array))) =
                    (&**name, schema)
                {
                    array.min_items = None;
                    array.max_items = Some(MAX_RULES);
                    array.unique_items = name == "rollup";
                }
            }
        }
        for (schema, member, text) in MEMBERS {
            if let Some(member) =
                object(document, schema).and_then(|object| object.properties.get_mut(member))
            {
                constrain(member, text);
            }
        }
        if let Some(RefOr::T(Schema::Object(event))) =
            object(document, "Event").and_then(|event| event.properties.get_mut("event"))
        {
            add(event, "not", json!({"enum": RESERVED_NAMES}));
        }
        if let Some(events) = object(document, "AddEvents") {
            // A sequence needs its producer. A member that is null counts as absent.
            let without_sequence = json!({"properties": {"sequence": {"type": "null"}}});
            let with_both = json!({
                "required": ["producer", "sequence"],
                "properties": {"producer": {"type": "string"}, "sequence": {"type": "integer"}}
            });
            add(events, "oneOf", json!([without_sequence, with_both]));
        }
        if let Some(token) = object(document, "IssueToken") {
            add(
                token,
                "oneOf",
                json!([
                    given("key", "string"),
                    given("keys", "array"),
                    given("prefix", "string")
                ]),
            );
        }
    }
}

/// A schema with this member. A member that is null counts as absent.
fn given(member: &str, kind: &str) -> Value {
    json!({"required": [member], "properties": {member: {"type": kind}}})
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.delete]
        .into_iter()
        .flatten()
}

/// An object schema of the document.
fn object<'a>(document: &'a mut OpenApi, name: &str) -> Option<&'a mut Object> {
    match document.components.as_mut()?.schemas.get_mut(name)? {
        RefOr::T(Schema::Object(object)) => Some(object),
        _ => None,
    }
}

/// Adds a keyword to an object, for which the library has no field. The library writes extensions
/// between the keywords. At most one per object, because extensions have no order.
fn add(object: &mut Object, keyword: &str, value: Value) {
    object.extensions = Some(Extensions::from_iter([(keyword, value)]));
}

/// Removes null from the types of a parameter: in a query or a header, `null` is just text.
fn never_null(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(Object {
        schema_type: kind @ SchemaType::Array(_),
        ..
    })) = schema
    {
        *kind = SchemaType::Type(Type::String);
    }
}

/// Adds constraints to a string, or to each string of an array.
fn constrain(schema: &mut RefOr<Schema>, text: Text) {
    match schema {
        RefOr::T(Schema::Object(string)) => {
            string.min_length = text.min;
            string.max_length = text.max;
            string.pattern = text.pattern.map(str::to_owned);
            string.format = text
                .format
                .map(|format| SchemaFormat::Custom(format.to_owned()));
        }
        RefOr::T(Schema::Array(array)) => {
            array.min_items = Some(1);
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                constrain(items, text);
            }
        }
        _ => {}
    }
}
