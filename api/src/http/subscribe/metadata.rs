//! The name and tags that a subscriber gives itself: `?client_name=` and `?tags=`.

use crate::{
    http::{
        error::{ApiError, ErrorCode},
        query::Query,
    },
    session::ClientMetadata,
    stream::EventFilter,
    telemetry::metrics::Transport,
};

/// The longest name, in bytes of UTF-8.
pub(crate) const MAX_NAME_BYTES: usize = 128;

/// The most tags, each counted once.
const MAX_TAGS: usize = 16;

/// The longest tag, in bytes of UTF-8.
const MAX_TAG_BYTES: usize = 64;

/// The name and tags that a subscriber gives itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameAndTags {
    name: Option<Box<str>>,
    tags: Vec<Box<str>>,
}

impl NameAndTags {
    /// The metadata of a subscriber over this transport, with this filter.
    pub(super) fn into_metadata(
        self,
        transport: Transport,
        filter: Option<&EventFilter>,
    ) -> ClientMetadata {
        ClientMetadata {
            transport,
            name: self.name,
            tags: self.tags.into(),
            filter: filter.map(|filter| filter.to_string().into()),
        }
    }

    /// The name, if the subscriber gives one.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The tags.
    pub(super) fn tags(&self) -> &[Box<str>] {
        &self.tags
    }

    /// Reads them from the query. Empty names and tags do not count. The first name counts.
    pub(super) fn read(query: &Query<'_>) -> Result<Self, ApiError> {
        let mut name_and_tags = Self::default();
        for name in query.texts("client_name")? {
            check_displayable("client_name", name)?;
            if name.len() > MAX_NAME_BYTES {
                return Err(invalid(format!(
                    "client_name has at most {MAX_NAME_BYTES} bytes"
                )));
            }
            if name_and_tags.name.is_none() && !name.is_empty() {
                name_and_tags.name = Some(name.into());
            }
        }
        for tags in query.texts("tags")? {
            check_displayable("tags", tags)?;
            tags.split(',')
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
                .try_for_each(|tag| name_and_tags.add(tag))?;
        }
        Ok(name_and_tags)
    }

    fn add(&mut self, tag: &str) -> Result<(), ApiError> {
        if tag.len() > MAX_TAG_BYTES {
            return Err(invalid(format!(
                "A tag in tags has at most {MAX_TAG_BYTES} bytes"
            )));
        }
        if !self.tags.iter().any(|other| **other == *tag) {
            if self.tags.len() == MAX_TAGS {
                return Err(invalid(format!("tags has at most {MAX_TAGS} tags")));
            }
            self.tags.push(tag.into());
        }
        Ok(())
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidParameter, message)
}

/// Refuses text that can't be displayed.
fn check_displayable(name: &str, text: &str) -> Result<(), ApiError> {
    if text.chars().any(char::is_control) {
        Err(invalid(format!(
            "{name} is text without control characters"
        )))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rocket::http::RawStr;

    use super::*;

    fn read(query: &str) -> Result<NameAndTags, ErrorCode> {
        NameAndTags::read(&Query::read(RawStr::new(query))).map_err(|error| error.code)
    }

    fn tags(query: &str) -> Vec<String> {
        read(query)
            .unwrap()
            .tags
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_name_is_text_that_can_be_displayed() {
        let name = |query: &str| read(query).map(|name_and_tags| name_and_tags.name);
        assert_eq!(
            name("key=a&client_name=J%C3%BCrgen%20%26+Co"),
            Ok(Some("Jürgen & Co".into()))
        );
        assert_eq!(name("client_name="), Ok(None));
        assert_eq!(
            name("client_name=&client_name=a&client_name=b"),
            Ok(Some("a".into()))
        );
        assert!(name(&format!("client_name={}", "x".repeat(128))).is_ok());
        for bad in [
            format!("client_name={}", "x".repeat(129)),
            "client_name=%FF".into(),
            "client_name=a%0Ab".into(),
            "client_name=%C2%85".into(),
        ] {
            assert_eq!(name(&bad), Err(ErrorCode::InvalidParameter), "{bad}");
        }
    }

    #[test]
    fn tags_add_up_and_each_counts_once() {
        assert_eq!(tags("tags=a,+b&key=x&tags=b%2Cc,,a&tags="), ["a", "b", "c"]);
        assert_eq!(read("tags="), Ok(NameAndTags::default()));
        let sixteen = (0..16).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(tags(&format!("tags={sixteen}&tags=0,1,2")).len(), 16);
        assert_eq!(tags(&format!("tags={}", "x".repeat(64))).len(), 1);
        for bad in [
            format!("tags={sixteen}&tags=16"),
            format!("tags={}", "x".repeat(65)),
            "tags=a,%FE".into(),
            "tags=%7F".into(),
        ] {
            assert_eq!(read(&bad), Err(ErrorCode::InvalidParameter), "{bad}");
        }
    }
}
