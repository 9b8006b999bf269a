//! A message: what a publisher sends, what a script may change, and its frame on the wire.

use bytes::{BufMut, BytesMut};
use rocket::http::RawStr;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::codec::{
    json::{Object, without_bom},
    sse::{put_field, put_lines},
};

/// The most fields of a form that are read.
const MAX_FIELDS: usize = 10_000;

/// A message. At least one of its fields is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Message {
    id: Option<String>,
    event: Option<String>,
    data: Option<String>,
    comment: Option<Vec<String>>,
}

/// Why something is not a message. The text is a sentence for the publisher.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidMessage {
    #[error("The body is not a message in JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("The form is not UTF-8")]
    FormNotUtf8,
    #[error("The field {0} of the form is not UTF-8")]
    NotUtf8(&'static str),
    #[error("The form has the field {0} more than once")]
    Repeated(&'static str),
    #[error("The form has more than {MAX_FIELDS} fields")]
    TooManyFields,
    #[error("A message needs at least one of id, event, data and comment")]
    Empty,
    #[error("The field {0} has a line break or a NUL character")]
    LineBreak(&'static str),
    #[error("The member {0} of the message has the wrong type")]
    Type(&'static str),
    #[error("There is no table `msg`")]
    NoMessage,
}

impl Message {
    /// Reads a body in JSON. Unknown members are ignored.
    pub(super) fn of_json(body: &[u8]) -> Result<Self, InvalidMessage> {
        let Object(message) = serde_json::from_slice::<Object<Self>>(without_bom(body))?;
        message.checked()
    }

    /// Reads a form. Unknown fields are ignored, and `comment` may come several times.
    pub(super) fn of_form(body: &[u8]) -> Result<Self, InvalidMessage> {
        let body = str::from_utf8(body).map_err(|_| InvalidMessage::FormNotUtf8)?;
        let mut message = Self::default();
        let pairs = RawStr::new(body).split('&').filter(|pair| !pair.is_empty());
        for (count, pair) in pairs.enumerate() {
            if count == MAX_FIELDS {
                return Err(InvalidMessage::TooManyFields);
            }
            let (name, value) = pair.split_at_byte(b'=');
            let Ok(name) = name.url_decode() else {
                continue;
            };
            let mut once = |field: fn(&mut Self) -> &mut Option<String>, name| {
                let value = value.url_decode();
                let value = value.map_err(|_| InvalidMessage::NotUtf8(name))?;
                let previous = field(&mut message).replace(value.into_owned());
                previous.map_or(Ok(()), |_| Err(InvalidMessage::Repeated(name)))
            };
            match &*name {
                "id" => once(|message| &mut message.id, "id")?,
                "event" => once(|message| &mut message.event, "event")?,
                "data" => once(|message| &mut message.data, "data")?,
                "comment" => {
                    let value = value.url_decode();
                    let value = value.map_err(|_| InvalidMessage::NotUtf8("comment"))?;
                    let comments = message.comment.get_or_insert_default();
                    comments.push(value.into_owned());
                }
                _ => {}
            }
        }
        message.checked()
    }

    /// The message of a publication: a table with the member `msg`. It may be empty.
    pub(super) fn of_publication(publication: &Value) -> Result<Self, InvalidMessage> {
        let message = publication.get("msg").ok_or(InvalidMessage::NoMessage)?;
        Self::of_table(message)
    }

    /// A message as a script has it. Numbers count as text, as in Lua. It may be empty.
    pub(super) fn of_table(table: &Value) -> Result<Self, InvalidMessage> {
        let table = match table {
            Value::Object(table) => table,
            // An empty table of Lua may be an empty list.
            Value::Array(items) if items.is_empty() => return Ok(Self::default()),
            _ => return Err(InvalidMessage::NoMessage),
        };
        let text = |name: &'static str| match table.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => as_text(value).map(Some).ok_or(InvalidMessage::Type(name)),
        };
        let comment = table.get("comment").map_or(Ok(None), comments)?;
        let message = Self {
            id: text("id")?,
            event: text("event")?,
            data: text("data")?,
            comment,
        };
        message.without_line_breaks()
    }

    /// The message as a table.
    pub(super) fn into_table(self) -> Value {
        let mut table = Map::new();
        let Self {
            id,
            event,
            data,
            comment,
        } = self;
        for (name, text) in [("id", id), ("event", event), ("data", data)] {
            if let Some(text) = text {
                table.insert(name.to_owned(), text.into());
            }
        }
        if let Some(comment) = comment.filter(|comment| !comment.is_empty()) {
            table.insert("comment".to_owned(), comment.into());
        }
        table.into()
    }

    /// Whether it has no field.
    pub(super) fn is_empty(&self) -> bool {
        self.id.is_none()
            && self.event.is_none()
            && self.data.is_none()
            && self.comment.as_ref().is_none_or(Vec::is_empty)
    }

    /// Adds the frame of the message; nothing for an empty one.
    pub(super) fn put(&self, out: &mut BytesMut) {
        if self.is_empty() {
            return;
        }
        if let Some(id) = &self.id {
            put_field(out, b"id", id);
        }
        if let Some(event) = &self.event {
            put_field(out, b"event", event);
        }
        if let Some(data) = &self.data {
            put_lines(out, b"data", data);
        }
        for comment in self.comment.iter().flatten() {
            put_lines(out, b"", comment);
        }
        out.put_u8(b'\n');
    }

    fn checked(self) -> Result<Self, InvalidMessage> {
        if self.is_empty() {
            return Err(InvalidMessage::Empty);
        }
        self.without_line_breaks()
    }

    /// Refuses a line break in a field of one line: what follows it would be another field. A
    /// browser ignores an id with a NUL character.
    fn without_line_breaks(self) -> Result<Self, InvalidMessage> {
        for (name, text) in [("id", &self.id), ("event", &self.event)] {
            let text = text.as_deref().unwrap_or_default();
            if text.contains(['\n', '\r', '\0']) {
                return Err(InvalidMessage::LineBreak(name));
            }
        }
        Ok(self)
    }
}

/// Text, or a number as text.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The comments of a table: a list, or one text.
fn comments(value: &Value) -> Result<Option<Vec<String>>, InvalidMessage> {
    let wrong = || InvalidMessage::Type("comment");
    match value {
        Value::Null => Ok(None),
        Value::Object(table) if table.is_empty() => Ok(None),
        Value::Array(list) => {
            let texts: Option<_> = list.iter().map(as_text).collect();
            texts.map(Some).ok_or_else(wrong)
        }
        value => as_text(value)
            .map(|text| Some(vec![text]))
            .ok_or_else(wrong),
    }
}

#[cfg(test)]
mod tests {
    use eventsource_stream::Eventsource;
    use futures::{StreamExt, executor::block_on, stream};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn frame(message: &Message) -> String {
        let mut out = BytesMut::new();
        message.put(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn json_and_form_are_the_same_message() {
        let body = json!({
            "id": "a b", "event": "e", "data": "1\n2", "comment": ["c", "d"], "other": [1],
        });
        let message = Message::of_json(body.to_string().as_bytes()).unwrap();
        let form = b"id=a+b&event=e&data=1%0A2&comment=c&comment=d&other=1&";
        assert_eq!(Message::of_form(form).unwrap(), message);
        assert_eq!(
            frame(&message),
            "id: a b\nevent: e\ndata: 1\ndata: 2\n: c\n: d\n\n"
        );
        assert_eq!(
            Message::of_table(&message.clone().into_table()).unwrap(),
            message
        );
    }

    #[test]
    fn a_body_that_is_no_message_is_refused() {
        for body in [
            "",
            "{",
            "[]",
            r#"["id", null, null, null]"#,
            "{}",
            r#"{"data": 5}"#,
            r#"{"comment": "c"}"#,
            r#"{"comment": []}"#,
            r#"{"id": "a\nb"}"#,
            r#"{"id": "a\u0000", "data": "d"}"#,
            r#"{"event": "a\rb"}"#,
            r#"{"data": null}"#,
        ] {
            assert!(Message::of_json(body.as_bytes()).is_err(), "{body}");
        }
        for body in [
            "",
            "x=1",
            "data=%ff",
            "data=1&data=2",
            "id=a%0Db",
            "event=%0A",
        ] {
            assert!(Message::of_form(body.as_bytes()).is_err(), "{body}");
        }
        assert!(
            Message::of_form(b"data").is_ok(),
            "a field without a value is empty"
        );
    }

    #[test]
    fn a_script_may_use_numbers_and_empty_tables() {
        let table = json!({"id": 7, "data": 1.5, "comment": {}});
        let message = Message::of_table(&table).unwrap();
        assert_eq!(frame(&message), "id: 7\ndata: 1.5\n\n");
        assert!(Message::of_table(&json!([])).unwrap().is_empty());
        assert_eq!(frame(&Message::default()), "");
        for table in [
            json!(1),
            json!({"data": {}}),
            json!({"comment": [[]]}),
            json!({"id": "\n"}),
        ] {
            assert!(Message::of_table(&table).is_err(), "{table}");
        }
    }

    proptest! {
        #[test]
        fn an_independent_reader_has_the_message_as_it_was_sent(
            id in "[^\r\n\0]{0,8}",
            event in "[^\r\n\0]{1,8}",
            data in ".{0,8}(\n.{0,8}){0,3}",
            comment in "(.|\n|\r){0,12}",
        ) {
            let body = json!({"id": id, "event": event, "data": data, "comment": [comment]});
            let frame = frame(&Message::of_json(body.to_string().as_bytes()).unwrap());
            let bytes = stream::iter([Ok::<_, std::io::Error>(frame)]);
            let events: Vec<_> = block_on(bytes.eventsource().collect());
            // A reader dispatches nothing for empty data.
            prop_assume!(!data.is_empty() && !data.contains('\r'));
            let [Ok(read)] = &events[..] else { panic!("{events:?}") };
            prop_assert_eq!((&read.id, &read.event, &read.data), (&id, &event, &data));
        }
    }
}
