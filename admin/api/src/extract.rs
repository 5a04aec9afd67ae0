//! Extractors for the parts of a request; each refusal is a problem (RFC 9457).

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use provost_provision::{ChangeTarget, ExpectedVersion};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::problem::{Problem, ProblemKind};

/// Longest key of a person in a path, in octets: an address (RFC 5321 §4.5.3.1) fits. The desk has the same limit.
pub(crate) const KEY_OCTETS_MAX: usize = 320;

/// The parameters of the path.
pub(crate) struct PathParameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(ProblemKind::Malformed, rejection.body_text())),
        }
    }
}

/// The key of a person in a path: not empty, at most [`KEY_OCTETS_MAX`] octets.
pub(crate) struct PersonKey(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PersonKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Only the parameter `key` is taken, so that routes with further parameters can use the same extractor.
        let PathParameters(all) = PathParameters::<Vec<(String, String)>>::from_request_parts(parts, state).await?;
        let key = all.into_iter().find(|(name, _)| name == "key").map(|(_, value)| value).unwrap_or_default();
        if key.trim().is_empty() || key.len() > KEY_OCTETS_MAX {
            return Err(Problem::new(ProblemKind::NotFound, "no person has such a key"));
        }
        Ok(Self(key))
    }
}

/// The parameters of the query.
pub(crate) struct QueryParameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(ProblemKind::Malformed, rejection.body_text())),
        }
    }
}

/// A JSON body of type `T`.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let octets = body(request, state).await?;
        if !is_json {
            return Err(Problem::new(ProblemKind::UnsupportedMediaType, "the body must be application/json"));
        }
        Ok(Self(read_json(&octets)?))
    }
}

/// A JSON body that may be absent, which equals `{}`.
pub(crate) struct OptionalJsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let octets = body(request, state).await?;
        match (octets.is_empty(), is_json) {
            (true, _) => Ok(Self(T::default())),
            (false, true) => Ok(Self(read_json(&octets)?)),
            (false, false) => Err(Problem::new(ProblemKind::UnsupportedMediaType, "the body must be application/json")),
        }
    }
}

/// Maximum number of uploads in progress, which bounds their memory. An upload of up to 64 MiB counts until its body is
/// dropped.
const UPLOADS_MAX: usize = 2;

static UPLOADS: Semaphore = Semaphore::const_new(UPLOADS_MAX);

/// A CSV body, up to the limit that the route sets.
pub(crate) struct CsvBody {
    pub(crate) octets: Bytes,
    /// The place among the [`UPLOADS_MAX`] uploads, released when the body is dropped.
    _place: SemaphorePermit<'static>,
}

impl<S: Send + Sync> FromRequest<S> for CsvBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_accepted = media_type(request.headers()).is_none_or(|name| {
            [
                "text/csv",
                "application/csv",
                "text/plain",
                "application/octet-stream",
                "application/zip",
                "application/jsonl",
                "application/x-ndjson",
                "text/ldif",
            ]
            .contains(&name.as_str())
        });
        if !is_accepted {
            return Err(Problem::new(ProblemKind::UnsupportedMediaType, "send the file itself as text/csv"));
        }
        let place =
            UPLOADS.try_acquire().map_err(|_| Problem::new(ProblemKind::Busy, "other files are being received"))?;
        Ok(Self { octets: body(request, state).await?, _place: place })
    }
}

/// The versions that a change is meant for: the header `If-Match` (RFC 9110 §13.1.1), if the request has one.
pub(crate) struct IfMatch(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let lines = parts.headers.get_all(header::IF_MATCH).iter().map(HeaderValue::to_str);
        match lines.collect::<Result<Vec<_>, _>>() {
            Ok(lines) if lines.is_empty() => Ok(Self(None)),
            Ok(lines) if lines.iter().all(|line| line.trim().is_empty()) => {
                Err(Problem::new(ProblemKind::Malformed, "If-Match names no version"))
            }
            // The lines of a repeated field are one list (RFC 9110 §5.3).
            Ok(lines) => Ok(Self(Some(lines.join(",")))),
            Err(_) => Err(Problem::new(ProblemKind::Malformed, "If-Match is not text")),
        }
    }
}

impl IfMatch {
    /// The versions that the header states. They are compared strongly: a weak tag never matches. `*` matches any
    /// version.
    fn expected(self) -> ExpectedVersion {
        let Some(tags) = self.0 else { return ExpectedVersion::Any };
        let tags: Vec<&str> = tags.split(',').map(str::trim).collect();
        if tags.contains(&"*") {
            return ExpectedVersion::Any;
        }
        let quoted = |tag: &str| Some(tag.strip_prefix('"')?.strip_suffix('"')?.to_owned());
        ExpectedVersion::OneOf(tags.into_iter().filter_map(quoted).collect())
    }
}

/// The person or setting of a path, with the versions that the caller states. The operation compares them with the
/// present version.
pub(crate) fn target(key: &str, if_match: IfMatch) -> ChangeTarget<'_> {
    ChangeTarget::new(key, if_match.expected())
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(ProblemKind::TooLarge, "the body is larger than this path accepts")
        }
        _ => Problem::new(ProblemKind::Malformed, "the body could not be read completely"),
    })
}

fn read_json<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Problem> {
    // serde would accept an array as the values of the fields in order.
    if octets.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::invalid("", "the body must be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(octets);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        if inner.is_data() {
            Problem::invalid(pointer, inner.to_string())
        } else {
            Problem::new(ProblemKind::Malformed, format!("the body is not JSON: {inner}"))
        }
    })?;
    reader.end().map_err(|error| Problem::new(ProblemKind::Malformed, format!("the body is not JSON: {error}")))?;
    Ok(value)
}

/// JSON pointer of a path (RFC 6901): `~` and `/` within a name become `~0` and `~1`.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |text, segment| match segment {
        Segment::Seq { index } => format!("{text}/{index}"),
        Segment::Map { key } => format!("{text}/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("{text}/{variant}"),
        Segment::Unknown => text,
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers)
        .is_some_and(|name| name == "application/json" || (name.starts_with("application/") && name.ends_with("+json")))
}

/// The media type without parameters, in lower case.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        days: u8,
    }

    #[test]
    fn a_wrong_json_body_is_refused_with_the_pointer_to_its_field() {
        let pointer_of = |text: &str| {
            read_json::<Body>(text.as_bytes()).map_err(|p| (p.status, p.errors.first().map(|e| e.pointer.clone())))
        };
        assert_eq!(pointer_of(r#"{"days":3}"#), Ok(Body { days: 3 }));
        assert_eq!(pointer_of(r#"{"days":"x"}"#), Err((422, Some("/days".into()))));
        assert_eq!(pointer_of(r#"{"days":3,"years":1}"#), Err((422, Some("/years".into()))));
        assert_eq!(pointer_of(r#"{"#), Err((400, None)));
        assert_eq!(pointer_of(r#"{"days":3} x"#), Err((400, None)));
        for array in ["[3]", " \n[]", "[[3]]", "["] {
            assert_eq!(pointer_of(array), Err((422, Some(String::new()))), "{array}");
        }
    }

    #[tokio::test]
    async fn the_lines_of_a_repeated_if_match_are_one_list() {
        let request = axum::http::Request::builder().header("If-Match", "\"a\"").header("If-Match", "\"b\"");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let if_match = IfMatch::from_request_parts(&mut parts, &()).await.unwrap();
        assert_eq!(if_match.expected(), ExpectedVersion::OneOf(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn if_match_compares_strongly() {
        let of =
            |versions: &[&str]| ExpectedVersion::OneOf(versions.iter().map(|version| (*version).to_owned()).collect());
        for (given, expect) in [
            (None, ExpectedVersion::Any),
            (Some("*"), ExpectedVersion::Any),
            (Some("\"a\""), of(&["a"])),
            (Some("\"b\", \"a\""), of(&["b", "a"])),
            (Some("W/\"a\""), of(&[])),
            (Some("a"), of(&[])),
        ] {
            assert_eq!(IfMatch(given.map(str::to_owned)).expected(), expect, "{given:?}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
        #[test]
        fn any_octets_are_read_or_refused(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            if let Err(problem) = read_json::<crate::model::VacationBody>(&octets) {
                proptest::prop_assert!(problem.status == 400 || problem.status == 422);
            }
        }
    }
}
