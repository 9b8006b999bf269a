//! Generates the client's management functions, `../src/generated.rs`, from the OpenAPI document.
//! `--check` only reports whether they are stale.

mod openapi30;

use std::{fs, io, path::Path, process::ExitCode};

use openapiv3::OpenAPI;
use progenitor::{GenerationSettings, Generator, HooksMode};

const HEADER: &str = "\
// Generated from spec/openapi.json by clients/rust/generator; changes made here are lost.

";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0} can't be read or written")]
    File(&'static str, #[source] io::Error),
    #[error("the document is not what OpenAPI 3.0 has")]
    Document(#[from] serde_json::Error),
    #[error("progenitor can't make code of it")]
    Generate(#[from] progenitor::Error),
    #[error("progenitor's code is not Rust")]
    Syntax(#[from] syn::Error),
    #[error("{OUTPUT} is stale: run the generator")]
    Stale,
    #[error("only --check is known, not {0}")]
    Argument(String),
}

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../spec/openapi.json");
/// What the hook of the client needs, as the client names it.
const REQUEST_DEFAULTS: &str = "crate::request_defaults::RequestDefaults";
const OUTPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/generated.rs");

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut source = Some(&error as &dyn std::error::Error);
            while let Some(error) = source {
                eprintln!("{error}");
                source = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let check = match std::env::args().nth(1) {
        None => false,
        Some(argument) if argument == "--check" => true,
        Some(other) => return Err(Error::Argument(other)),
    };
    let document = fs::read_to_string(DOCUMENT).map_err(|error| Error::File(DOCUMENT, error))?;
    let code = generate(&document)?;
    if !check {
        fs::write(OUTPUT, code).map_err(|error| Error::File(OUTPUT, error))
    } else if Path::new(OUTPUT).exists()
        && fs::read_to_string(OUTPUT).map_err(|error| Error::File(OUTPUT, error))? == code
    {
        Ok(())
    } else {
        Err(Error::Stale)
    }
}

fn generate(document: &str) -> Result<String, Error> {
    let mut document = serde_json::from_str(document)?;
    openapi30::down_convert(&mut document);
    let document: OpenAPI = serde_json::from_value(document)?;
    let mut settings = GenerationSettings::default();
    settings
        .with_derive("PartialEq")
        // The API key and the timeout, which a hook sets for each request: the HTTP client may be
        // the caller's own.
        .with_inner_type(syn::parse_str(REQUEST_DEFAULTS)?)
        .with_hooks(HooksMode::Expected);
    let tokens = Generator::new(&settings).generate_tokens(&document)?;
    Ok(format!(
        "{HEADER}{}",
        prettyplease::unparse(&syn::parse2(tokens)?)
    ))
}
