//! Converts the OpenAPI 3.1 document into the 3.0 document that progenitor reads. Leaves out the
//! parts from which it would make bad code.

use serde_json::{Map, Value};

/// Routes without a generated function, as the client implements them itself: most have bodies that
/// never end.
const BY_HAND: [&str; 6] = [
    "follow_ndjson",
    "follow_sse",
    "follow_ws",
    "poll_events",
    "upload_events",
    "write_events",
];

/// The limits of values. The generated types would turn each into a newtype with an error of its
/// own, or into an enum. The broker checks the limits, and its response names the wrong field.
const LIMITS: [&str; 10] = [
    "maxLength",
    "minLength",
    "minimum",
    "maximum",
    "pattern",
    "minItems",
    "maxItems",
    "oneOf",
    "not",
    "dependentRequired",
];

/// The broker's own format, which is a limit, too.
const BYTE_LIMITED: &str = "byte-limited";

/// Rewrites the document in place.
pub fn down_convert(document: &mut Value) {
    document["openapi"] = "3.0.3".into();
    if let Some(license) = document
        .pointer_mut("/info/license")
        .and_then(Value::as_object_mut)
    {
        // New in 3.1.
        license.remove("identifier");
    }
    if let Some(paths) = document["paths"].as_object_mut() {
        for operations in paths.values_mut().filter_map(Value::as_object_mut) {
            operations.retain(|_, operation| {
                !operation["operationId"]
                    .as_str()
                    .is_some_and(|id| BY_HAND.contains(&id))
            });
            for operation in operations.values_mut() {
                successes_only(operation);
            }
        }
        paths.retain(|_, operations| {
            operations
                .as_object()
                .is_some_and(|operations| !operations.is_empty())
        });
    }
    simplify(document);
}

/// The client reads error responses itself, in the same way for all routes. They are from the
/// broker, or from a proxy that does not send JSON. Generated code would lose the status of the
/// latter.
fn successes_only(operation: &mut Value) {
    if let Some(responses) = operation["responses"].as_object_mut() {
        responses.retain(|status, _| status.starts_with('2'));
    }
}

fn simplify(value: &mut Value) {
    match value {
        Value::Object(object) => {
            nullable(object);
            unsigned(object);
            // A property may have this name. The object with the properties has no type, or a
            // schema as its type.
            if object.get("type").is_some_and(|kind| !kind.is_object()) {
                object.retain(|name, value| {
                    let is_byte_limit = name == "format" && value == BYTE_LIMITED;
                    !LIMITS.contains(&name.as_str()) && !is_byte_limit
                });
            }
            object.values_mut().for_each(simplify);
        }
        Value::Array(values) => values.iter_mut().for_each(simplify),
        _ => {}
    }
}

/// `"type": ["string", "null"]` is `"type": "string", "nullable": true` in 3.0.
fn nullable(schema: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = schema.get("type") else {
        return;
    };
    let concrete: Vec<_> = types
        .iter()
        .filter(|name| *name != "null")
        .cloned()
        .collect();
    if let [only] = concrete.as_slice() {
        let only = only.clone();
        schema.insert("type".to_owned(), only);
        schema.insert("nullable".to_owned(), true.into());
    }
}

/// Integers that can't be negative become unsigned in Rust.
fn unsigned(schema: &mut Map<String, Value>) {
    if schema
        .get("minimum")
        .and_then(Value::as_i64)
        .is_some_and(|minimum| minimum >= 0)
    {
        schema.insert("format".to_owned(), "uint64".into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_or_null_is_nullable() {
        let mut schema =
            json!({"type": ["integer", "null"], "format": "int64", "minimum": 1, "maximum": 9});
        simplify(&mut schema);
        assert_eq!(
            schema,
            json!({"type": "integer", "format": "uint64", "nullable": true})
        );
    }

    #[test]
    fn a_property_may_be_named_as_a_limit_is() {
        let mut schema = json!({"properties": {"maximum": {"type": "integer", "format": "int64"}}});
        let as_it_was = schema.clone();
        simplify(&mut schema);
        assert_eq!(schema, as_it_was);
    }

    #[test]
    fn types_have_no_limits() {
        let mut schema = json!({
            "type": "object",
            "oneOf": [{"required": ["key"]}, {"required": ["keys"]}],
            "dependentRequired": {"keys": ["key"]},
            "properties": {
                "key": {
                    "type": "string",
                    "format": "byte-limited",
                    "maxLength": 9,
                    "pattern": "^a",
                    "not": {"enum": ["a"]},
                },
                "keys": {
                    "type": ["array", "null"],
                    "minItems": 1,
                    "items": {"type": "string", "minLength": 1},
                },
                "pattern": {"type": "string"},
                "oneOf": {"type": "integer", "format": "int64"},
            },
        });
        simplify(&mut schema);
        let properties = json!({
            "key": {"type": "string"},
            "keys": {"type": "array", "nullable": true, "items": {"type": "string"}},
            "pattern": {"type": "string"},
            "oneOf": {"type": "integer", "format": "int64"},
        });
        assert_eq!(schema, json!({"type": "object", "properties": properties}));
    }

    #[test]
    fn routes_without_functions_and_error_responses_are_removed() {
        let mut document = json!({"openapi": "3.1.0", "paths": {
            "/sse": {"get": {"operationId": "follow_sse", "responses": {"200": {}}}},
            "/ready": {"get": {"operationId": "ready", "responses": {"200": {}, "503": {}}}},
        }});
        down_convert(&mut document);
        let paths = json!({"/ready": {"get": {"operationId": "ready", "responses": {"200": {}}}}});
        assert_eq!(document, json!({"openapi": "3.0.3", "paths": paths}));
    }
}
