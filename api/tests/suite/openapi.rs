//! The OpenAPI document matches the broker.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::common::{Kind, broker};

fn kept() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/openapi.json")).unwrap()
}

#[test]
fn the_committed_document_is_not_stale() {
    let made = tinistreamer::http::openapi::document_json().unwrap();
    assert!(
        kept() == made,
        "run `make spec` and commit spec/openapi.json"
    );
}

#[test]
fn every_route_is_in_the_document() {
    let document: Value = serde_json::from_str(&kept()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let documented: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .keys()
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let routes: BTreeSet<String> = tinistreamer::http::routes::all()
        .iter()
        .filter(|route| route.method.as_str() != "HEAD")
        .map(|route| {
            format!(
                "{} /api{}",
                route.method,
                route.uri.path().replace('<', "{").replace('>', "}")
            )
        })
        .collect();
    assert_eq!(documented, routes);
}

#[test]
fn operations_and_their_parameters_have_unique_names() {
    // Generators of client libraries use these names.
    let document: Value = serde_json::from_str(&kept()).unwrap();
    let operations: Vec<&Value> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
        .collect();
    let ids: BTreeSet<&str> = operations
        .iter()
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), operations.len());
    for operation in operations {
        let Some(parameters) = operation["parameters"].as_array() else {
            continue;
        };
        let names: BTreeSet<String> = parameters
            .iter()
            .map(|one| format!("{} {}", one["in"], one["name"]))
            .collect();
        assert_eq!(
            names.len(),
            parameters.len(),
            "{}",
            operation["operationId"]
        );
    }
}

/// Strings in requests that may be any text.
const FREE: [&str; 6] = [
    "CancelStream by",
    "CancelStream reason",
    "FailStream message",
    "disconnect_client id",
    "list_clients tag",
    "poll_events If-None-Match",
];

/// The schema of a string: the schema itself, or that of an array's elements.
fn string(schema: &Value) -> Option<&Value> {
    let is = |kind: &str| {
        schema["type"] == kind
            || schema["type"]
                .as_array()
                .is_some_and(|kinds| kinds.contains(&kind.into()))
    };
    if is("array") {
        string(&schema["items"])
    } else {
        is("string").then_some(schema)
    }
}

/// The objects that a request's body can hold, at any depth, by name.
fn request_schemas(document: &Value) -> BTreeMap<&str, &Value> {
    fn collect<'a>(
        value: &'a Value,
        document: &'a Value,
        found: &mut BTreeMap<&'a str, &'a Value>,
    ) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let name = reference.rsplit('/').next().unwrap();
                    let schema = &document["components"]["schemas"][name];
                    if schema["properties"].is_object() && found.insert(name, schema).is_none() {
                        collect(schema, document, found);
                    }
                }
                members
                    .values()
                    .for_each(|value| collect(value, document, found));
            }
            Value::Array(values) => values
                .iter()
                .for_each(|value| collect(value, document, found)),
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            collect(&operation["requestBody"], document, &mut found);
        }
    }
    found
}

#[test]
fn every_string_of_a_request_has_constraints() {
    let document: Value = serde_json::from_str(&kept()).unwrap();
    let schemas = &document["components"]["schemas"];
    let mut strings = Vec::new();
    for operation in document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
    {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = format!(
                "{} {}",
                operation["operationId"].as_str().unwrap(),
                parameter["name"].as_str().unwrap()
            );
            strings.extend(string(&parameter["schema"]).map(|string| (name, string)));
        }
    }
    for (name, schema) in request_schemas(&document) {
        for (member, value) in schema["properties"].as_object().unwrap() {
            strings.extend(string(value).map(|string| (format!("{name} {member}"), string)));
        }
    }
    let limited = |string: &Value| string["pattern"].is_string();
    let mut unlimited: Vec<_> = strings
        .iter()
        .filter(|(_, string)| !limited(string))
        .map(|(name, _)| name.as_str())
        .collect();
    unlimited.sort_unstable();
    assert_eq!(unlimited, FREE);

    let key = &strings
        .iter()
        .find(|(name, _)| name == "IssueToken keys")
        .unwrap()
        .1;
    assert_eq!(
        (&key["minLength"], &key["maxLength"], &key["format"]),
        (&1.into(), &256.into(), &"byte-limited".into())
    );
    assert_eq!(schemas["Event"]["properties"]["event"]["maxLength"], 128);
    assert_eq!(
        schemas["Event"]["properties"]["event"]["not"]["enum"]
            .as_array()
            .unwrap()
            .len(),
        7
    );
    assert_eq!(schemas["IssueToken"]["oneOf"].as_array().unwrap().len(), 3);
    assert_eq!(
        schemas["AddEvents"]["oneOf"][1]["required"],
        serde_json::json!(["producer", "sequence"])
    );
}

#[tokio::test]
async fn an_integer_may_have_a_zero_fraction() {
    // In JSON Schema `600.0` is an integer.
    let broker = broker(Kind::Memory).start().await;
    let post = async |path: &str, body: &str| {
        let response = broker
            .request(reqwest::Method::POST, path)
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path} {body}");
    };
    post("/api/stream", r#"{"key":"a","ttl":600.0,"max_events":5e2}"#).await;
    post("/api/stream/token", r#"{"key":"a","ttl":60.0}"#).await;
    post(
        "/api/event/add",
        r#"{"key":"a","events":[],"producer":"p","sequence":0.0}"#,
    )
    .await;
}

#[tokio::test]
async fn every_route_with_a_json_body_documents_the_size_error() {
    let broker = broker(Kind::Memory).set("MAX_BODY", 1024).start().await;
    let document: Value = serde_json::from_str(&kept()).unwrap();
    let operations = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, methods)| (path, &methods["post"]));
    let with_json: Vec<_> = operations
        .filter(|(_, post)| !post["requestBody"]["content"]["application/json"].is_null())
        .collect();
    assert!(!with_json.is_empty());
    for (path, post) in with_json {
        let response = broker
            .request(reqwest::Method::POST, &format!("{path}?key=chat"))
            .body("x".repeat(1025))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 413, "{path}");
        assert!(!post["responses"]["413"].is_null(), "{path}");
    }
}

#[test]
fn every_error_code_is_in_the_list() {
    let list = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/reference/errors.md"
    ))
    .unwrap();
    for code in tinistreamer::http::error::ErrorCode::ALL {
        let row = format!("| `{}` | {} |", code.as_str(), code.status().code);
        assert!(list.contains(&row), "docs/reference/errors.md lacks {row}");
    }
}

#[tokio::test]
async fn the_broker_serves_its_document_and_a_self_contained_page() {
    let broker = broker(Kind::Memory).start().await;
    let get = async |path: &str| {
        let response = broker
            .http
            .get(format!("{}{path}", broker.url))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    };
    let served: Value = serde_json::from_str(&get("/api/openapi.json").await).unwrap();
    assert_eq!(served, serde_json::from_str::<Value>(&kept()).unwrap());
    for path in ["/api/docs", "/api/docs/"] {
        let page = get(path).await;
        let loads: Vec<&str> = page
            .split(['"', '\''])
            .filter(|text| text.starts_with("http") || text.starts_with("//"))
            .collect();
        assert!(page.contains("swagger-ui") && loads.is_empty(), "{loads:?}");
    }
    assert!(
        get("/api/docs/swagger-initializer.js")
            .await
            .contains("/api/openapi.json")
    );
}
