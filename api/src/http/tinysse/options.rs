//! The options of a server, as plain types that are valid by construction.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use rocket::http::Header;

/// What can be set of a server with tinysse's interface.
#[derive(Clone, Debug)]
pub struct TinysseOptions {
    /// Silence after which a keep-alive comment goes out. Zero: none goes out.
    pub keep_alive: Duration,
    /// The text of that comment.
    pub keep_alive_text: CommentText,
    /// The age at which the server closes a subscriber's connection. Zero: it stays open.
    pub timeout: Duration,
    /// The delay before a reconnect that a subscriber is sent then.
    pub timeout_retry: Duration,
    /// How many messages the server keeps for subscribers that are slower than the publishers.
    pub capacity: u64,
    /// The most bytes of a request's body.
    pub max_body: usize,
    /// The path for `POST`.
    pub pub_path: UrlPath,
    /// The path for `GET`.
    pub sub_path: UrlPath,
    /// Static files, if the server has any.
    pub static_files: Option<StaticFiles>,
    /// What pages of other origins may do.
    pub cors: CorsOptions,
}

/// A folder of static files.
#[derive(Clone, Debug)]
pub struct StaticFiles {
    /// The folder. It exists.
    pub folder: PathBuf,
    /// The path under which its files are.
    pub path: UrlPath,
}

/// A text without line breaks, so that it fits into one comment line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommentText(String);

/// The text has control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text of a comment has no line breaks and no other control characters")]
pub struct InvalidComment;

impl CommentText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommentText {
    type Err = InvalidComment;

    fn from_str(text: &str) -> Result<Self, InvalidComment> {
        if text.chars().any(char::is_control) {
            Err(InvalidComment)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for CommentText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A fixed path: it begins with a slash and has no parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPath(String);

/// The text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path begins with / and has only letters, digits and -._~ in its segments, as in /sse")]
pub struct InvalidPath;

impl UrlPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UrlPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
        let is_path = text.starts_with('/')
            && text.bytes().all(is_plain)
            && !text.contains("//")
            && !text
                .split('/')
                .any(|segment| [".", ".."].contains(&segment));
        is_path.then(|| Self(text.to_owned())).ok_or(InvalidPath)
    }
}

impl fmt::Display for UrlPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A list of header values, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyOr {
    /// `*`.
    Any,
    /// These, at least one.
    Only(Vec<String>),
}

/// The text is not a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it takes * for all, or a list of values separated by commas")]
pub struct InvalidList;

impl FromStr for AnyOr {
    type Err = InvalidList;

    fn from_str(text: &str) -> Result<Self, InvalidList> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let is_value = |value: &&str| {
            !value.is_empty() && *value != "*" && value.bytes().all(|b| b.is_ascii_graphic())
        };
        let values = text.split(',').map(str::trim);
        let values: Option<Vec<_>> = values
            .map(|value| Some(value).filter(is_value).map(ToOwned::to_owned))
            .collect();
        values.map(Self::Only).ok_or(InvalidList)
    }
}

impl fmt::Display for AnyOr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Only(values) => f.write_str(&values.join(",")),
        }
    }
}

/// What pages of other origins may do.
#[derive(Clone, Debug)]
pub struct CorsOptions {
    /// `Access-Control-Allow-Origin`.
    pub origins: AnyOr,
    /// `Access-Control-Allow-Methods`.
    pub methods: AnyOr,
    /// `Access-Control-Allow-Headers`.
    pub headers: AnyOr,
    /// `Access-Control-Allow-Credentials`.
    pub credentials: bool,
    /// `Access-Control-Max-Age`.
    pub max_age: Duration,
}

/// The options of CORS contradict each other, or hold something that no header can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCors {
    /// Browsers take `*` for text in a response with credentials.
    #[error(
        "--cors-allow-credentials can't be set while --cors-allow-{0} is * (any); list the values"
    )]
    CredentialsForAny(&'static str),
    /// The name of a header or a method.
    #[error("--cors-allow-{option} holds {value:?}, which is not the name of a {what}")]
    Name {
        /// The end of the option's name.
        option: &'static str,
        /// What it holds.
        value: String,
        /// What it should name.
        what: &'static str,
    },
}

impl CorsOptions {
    /// Checks the options against each other.
    ///
    /// Errors: credentials together with `*`
    /// ([fetch](https://fetch.spec.whatwg.org/#cors-protocol-and-credentials)), or invalid names.
    pub fn checked(self) -> Result<Self, InvalidCors> {
        let lists = [
            ("origin", &self.origins),
            ("headers", &self.headers),
            ("methods", &self.methods),
        ];
        let any = lists.iter().find(|(_, list)| **list == AnyOr::Any);
        if let (true, Some((option, _))) = (self.credentials, any) {
            return Err(InvalidCors::CredentialsForAny(option));
        }
        for (option, what, list) in [
            ("headers", "header", &self.headers),
            ("methods", "method", &self.methods),
        ] {
            let AnyOr::Only(values) = list else { continue };
            if let Some(value) = values.iter().find(|value| !Header::is_valid_name(value)) {
                return Err(InvalidCors::Name {
                    option,
                    value: value.clone(),
                    what,
                });
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_fixed() {
        for path in ["/", "/sse", "/a/b-c.d_e~f", "/sse/"] {
            assert_eq!(path.parse(), Ok(UrlPath(path.to_owned())));
        }
        for path in [
            "", "sse", "/<key>", "/{key}", "//", "/a//b", "/../x", "/a b", "/a?b", "/é",
        ] {
            assert_eq!(path.parse::<UrlPath>(), Err(InvalidPath), "{path:?}");
        }
    }

    #[test]
    fn a_list_is_everything_or_its_values() {
        assert_eq!("*".parse(), Ok(AnyOr::Any));
        let values = ["a", "b"].map(ToOwned::to_owned).to_vec();
        assert_eq!("a, b".parse(), Ok(AnyOr::Only(values)));
        for list in ["", "a,,b", "a,*", "a b", "a\n"] {
            assert!(list.parse::<AnyOr>().is_err() || list == "a\n", "{list:?}");
        }
    }

    #[test]
    fn credentials_exclude_wildcards() {
        let with = |origins: &str, methods: &str, headers: &str| {
            let options = CorsOptions {
                origins: origins.parse().unwrap(),
                methods: methods.parse().unwrap(),
                headers: headers.parse().unwrap(),
                credentials: true,
                max_age: Duration::ZERO,
            };
            options.checked().map(|_| ())
        };
        let any = |option| Err(InvalidCors::CredentialsForAny(option));
        assert_eq!(with("*", "GET", "Cookie"), any("origin"));
        assert_eq!(with("https://a.example", "GET", "*"), any("headers"));
        assert_eq!(with("https://a.example", "*", "Cookie"), any("methods"));
        assert_eq!(with("https://a.example", "GET", "Cookie"), Ok(()));
        assert!(with("https://a.example", "GET", "Coo(kie").is_err());
    }
}
