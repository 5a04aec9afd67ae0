//! Errors as RFC 9457 problem details. The `type` of each kind leads to a page that explains it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use provost_provision::{DeskError, FileError, GuardStop, ImportError};
use provost_store::StateError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model_plans::GuardBody;

/// Value of `Retry-After` with every problem of status 503, in seconds.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Media type of a problem (RFC 9457 §3).
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Kind of an error: each asks the caller for a different decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Malformed,
    UnsupportedMediaType,
    TooLarge,
    Invalid,
    FileRefused,
    Ambiguous,
    InUse,
    Quarantined,
    Stale,
    PreconditionFailed,
    PlanChanged,
    GuardStopped,
    SecondPersonNeeded,
    OldFile,
    Inconsistent,
    Refused,
    Unavailable,
    Busy,
    Timeout,
    Internal,
}

/// Path of the pages that explain the kinds; each `type` is a name below it.
const PROBLEMS: &str = "/api/v1/problems/";

/// For each kind: name in `type`, status, title, explanation.
const KINDS: [(ProblemKind, &str, StatusCode, &str, &str); 24] = [
    (
        ProblemKind::Unauthorized,
        "/api/v1/problems/unauthorized",
        StatusCode::UNAUTHORIZED,
        "A token is needed",
        "Send 'Authorization: Bearer TOKEN' with a token of this site.",
    ),
    (
        ProblemKind::Forbidden,
        "/api/v1/problems/forbidden",
        StatusCode::FORBIDDEN,
        "Not allowed",
        "The role of the token does not allow this operation, or not on this person: the credentials of a person with a \
         higher role cannot be changed. 'provost roles show' prints the table.",
    ),
    (
        ProblemKind::NotFound,
        "/api/v1/problems/not-found",
        StatusCode::NOT_FOUND,
        "Not found",
        "The person, address, job, setting or path does not exist; the import does not exist, was applied or has expired; \
         or a setting to be removed has no value in the directory. 'detail' says which.",
    ),
    (
        ProblemKind::MethodNotAllowed,
        "/api/v1/problems/method-not-allowed",
        StatusCode::METHOD_NOT_ALLOWED,
        "Method not allowed",
        "The path exists but does not accept this method; the OpenAPI document lists those that it accepts.",
    ),
    (
        ProblemKind::Malformed,
        "/api/v1/problems/malformed",
        StatusCode::BAD_REQUEST,
        "Malformed request",
        "The path, the query or the body cannot be parsed.",
    ),
    (
        ProblemKind::UnsupportedMediaType,
        "/api/v1/problems/unsupported-media-type",
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "Unsupported media type",
        "Bodies are application/json; import files are text/csv.",
    ),
    (
        ProblemKind::TooLarge,
        "/api/v1/problems/too-large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "Too large",
        "A JSON body may have at most 256 KiB, an import file 64 MiB.",
    ),
    (
        ProblemKind::Invalid,
        "/api/v1/problems/invalid",
        StatusCode::UNPROCESSABLE_ENTITY,
        "A field is wrong",
        "'errors' points to the field and states its rule.",
    ),
    (
        ProblemKind::FileRefused,
        "/api/v1/problems/file-refused",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The whole file is refused",
        "An empty or truncated file, a wrong header or a wrong encoding: nothing was planned.",
    ),
    (
        ProblemKind::Ambiguous,
        "/api/v1/problems/ambiguous",
        StatusCode::CONFLICT,
        "The key matches more than one",
        "Use the id of the person instead, or more characters of the hash of the plan.",
    ),
    (
        ProblemKind::InUse,
        "/api/v1/problems/in-use",
        StatusCode::CONFLICT,
        "In use",
        "Another entry has the address, or another person has its local part as login.",
    ),
    (
        ProblemKind::Quarantined,
        "/api/v1/problems/quarantined",
        StatusCode::CONFLICT,
        "In quarantine",
        "The address was recently removed from its owner; until its quarantine ends, only that person can get it back.",
    ),
    (
        ProblemKind::Stale,
        "/api/v1/problems/stale",
        StatusCode::CONFLICT,
        "Changed meanwhile",
        "The entry was changed meanwhile; read it again.",
    ),
    (
        ProblemKind::PreconditionFailed,
        "/api/v1/problems/precondition-failed",
        StatusCode::PRECONDITION_FAILED,
        "Changed since it was read",
        "The version in If-Match is not the current one; read the person or setting again.",
    ),
    (
        ProblemKind::PlanChanged,
        "/api/v1/problems/plan-changed",
        StatusCode::CONFLICT,
        "The plan has changed",
        "The directory has changed since the plan was shown; check the new plan and apply its hash.",
    ),
    (
        ProblemKind::GuardStopped,
        "/api/v1/problems/guard-stopped",
        StatusCode::CONFLICT,
        "The guard stopped the plan",
        "The plan would change too many people, and nothing was changed. 'guard' has the limits that it exceeds. The plan is \
         kept under 'hash': look at it (GET /api/v1/plans/HASH), and if it is right, a second person applies it \
         (POST /api/v1/plans/HASH/override).",
    ),
    (
        ProblemKind::SecondPersonNeeded,
        "/api/v1/problems/second-person-needed",
        StatusCode::FORBIDDEN,
        "A second person is needed",
        "The token made this plan itself. Another person with the right guard.override must look at the plan and apply it.",
    ),
    (
        ProblemKind::OldFile,
        "/api/v1/problems/old-file",
        StatusCode::CONFLICT,
        "An old file",
        "Another file of this source was imported after this one, or one that is newer. If this file is to replace what came \
         after it, upload it again with 'force=true'.",
    ),
    (
        ProblemKind::Inconsistent,
        "/api/v1/problems/inconsistent",
        StatusCode::CONFLICT,
        "The directory contradicts itself",
        "Correct its entries before an import.",
    ),
    (
        ProblemKind::Refused,
        "/api/v1/problems/refused",
        StatusCode::UNPROCESSABLE_ENTITY,
        "Refused by the directory",
        "Repeating the request will not help.",
    ),
    (
        ProblemKind::Unavailable,
        "/api/v1/problems/unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "Unavailable now",
        "The directory, the store, the audit or the trace cannot be used. A change may have been made: wait for the \
         seconds of 'Retry-After', then read what you wanted to change before you repeat the request.",
    ),
    (
        ProblemKind::Busy,
        "/api/v1/problems/busy",
        StatusCode::SERVICE_UNAVAILABLE,
        "Busy",
        "Too many import files are being received, planned or applied, or wait to be applied; try again later.",
    ),
    (
        ProblemKind::Timeout,
        "/api/v1/problems/timeout",
        StatusCode::GATEWAY_TIMEOUT,
        "Took too long",
        "The request exceeded its time limit; a change may have been made.",
    ),
    (
        ProblemKind::Internal,
        "/api/v1/problems/internal",
        StatusCode::INTERNAL_SERVER_ERROR,
        "A bug",
        "A fault of the program, described in its log.",
    ),
];

impl ProblemKind {
    fn row(self) -> &'static (ProblemKind, &'static str, StatusCode, &'static str, &'static str) {
        // Every kind has a row. A missing one could only be a bug, and is answered as the last row: `Internal`.
        KINDS.iter().find(|row| row.0 == self).unwrap_or(&KINDS[KINDS.len() - 1])
    }
}

/// One field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// JSON pointer (RFC 6901) into the body, or `?NAME` for a query parameter.
    pub(crate) pointer: String,
    /// The broken rule.
    pub(crate) detail: String,
}

/// RFC 9457 problem details.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Path of the page that explains the kind.
    #[serde(rename = "type")]
    #[schema(rename = "type")]
    pub(crate) type_uri: &'static str,
    /// Short description of the kind.
    pub(crate) title: &'static str,
    /// HTTP status.
    pub(crate) status: u16,
    /// Description of this case.
    pub(crate) detail: String,
    /// The fields that break a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldError>,
    /// Hash of the present plan, when it differs from the requested one; hash of the plan that the guard stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<Box<str>>,
    /// The limits by which the guard stopped the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) guard: Option<Box<GuardBody>>,
    /// Value of the reply's `Retry-After`, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<u32>,
    /// Decides on the header `WWW-Authenticate`; not part of the JSON document.
    #[serde(skip)]
    pub(crate) kind: ProblemKind,
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        let (_, type_uri, status, title, _) = kind.row();
        let retry_after = (*status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECONDS);
        Self {
            type_uri,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            hash: None,
            guard: None,
            retry_after,
            kind,
        }
    }

    /// A field breaks a rule: 422 with a pointer to the field.
    pub(crate) fn invalid(pointer: impl Into<String>, rule: impl Into<String>) -> Self {
        let (pointer, rule) = (pointer.into(), rule.into());
        // RFC 6901: the empty pointer is the whole body.
        let detail = if pointer.is_empty() { rule.clone() } else { format!("{pointer}: {rule}") };
        let mut problem = Self::new(ProblemKind::Invalid, detail);
        problem.errors.push(FieldError { pointer, detail: rule });
        problem
    }

    /// A bug: the cause is logged, and the caller learns only which operation failed.
    pub(crate) fn internal(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "{what}");
        Self::new(ProblemKind::Internal, what)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = (status, axum::Json(&self)).into_response();
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == ProblemKind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"provost\""));
        }
        reply
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        let detail = error.to_string();
        match error {
            DeskError::NotFound(_) | DeskError::UnknownSetting(_) | DeskError::NotStated(_) => {
                Self::new(ProblemKind::NotFound, detail)
            }
            DeskError::Ambiguous { .. } => Self::new(ProblemKind::Ambiguous, detail),
            DeskError::Invalid { field, rule } => Self::invalid(format!("/{field}"), rule),
            DeskError::InUse(_) => Self::new(ProblemKind::InUse, detail),
            DeskError::Quarantined { .. } => Self::new(ProblemKind::Quarantined, detail),
            DeskError::Stale => Self::new(ProblemKind::Stale, detail),
            DeskError::VersionMismatch(_) => Self::new(ProblemKind::PreconditionFailed, detail),
            DeskError::NotAllowed(_) => Self::new(ProblemKind::Forbidden, detail),
            DeskError::OwnPlan(_) => Self::new(ProblemKind::SecondPersonNeeded, detail),
            DeskError::Refused(_) => Self::new(ProblemKind::Refused, detail),
            DeskError::Unavailable(_) | DeskError::AuditUnavailable(_) | DeskError::OutcomeUnknown(_) => {
                Self::new(ProblemKind::Unavailable, detail)
            }
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Desk(error) => error.into(),
            ImportError::File(error) => error.into(),
            ImportError::OldFile(why) => Self::new(ProblemKind::OldFile, why),
            ImportError::Plan(error) => Self::new(ProblemKind::Inconsistent, error.to_string()),
            ImportError::Fault(error) => Self::internal("a bug ended the planning", &error),
        }
    }
}

impl From<GuardStop> for Problem {
    fn from(stop: GuardStop) -> Self {
        let first = stop.report.trips.first().map(|trip| format!(" ({trip})")).unwrap_or_default();
        let detail = format!("the guard stopped the plan{first}, and nothing was changed");
        let mut problem = Self::new(ProblemKind::GuardStopped, detail);
        problem.hash = Some(stop.hash.into());
        problem.guard = Some(Box::new(stop.report.into()));
        problem
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        if let StateError::Full(_) = error {
            return Self::new(ProblemKind::Busy, error.to_string());
        }
        tracing::error!(%error, "the shared state of the nodes failed");
        Self::new(ProblemKind::Unavailable, "the shared state of the nodes is unavailable")
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        let kind =
            if matches!(error, FileError::TooLarge(_)) { ProblemKind::TooLarge } else { ProblemKind::FileRefused };
        Self::new(kind, error.to_string())
    }
}

/// The explanation of a kind, for people who follow its `type`; `None` for an unknown name.
pub(crate) fn explanation(name: &str) -> Option<String> {
    let (_, _, status, title, text) = KINDS.iter().find(|row| row.1.strip_prefix(PROBLEMS) == Some(name))?;
    Some(format!("{title} ({status})\n\n{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provost_provision::Permission;

    #[test]
    fn each_kind_has_one_row_and_one_name() {
        assert_eq!(
            KINDS.len(),
            ProblemKind::Internal as usize + 1,
            "a kind has no row, or Internal is not the last kind"
        );
        for (at, row) in KINDS.iter().enumerate() {
            assert_eq!(row.0.row().1, row.1);
            assert!(KINDS.iter().skip(at + 1).all(|other| other.0 != row.0 && other.1 != row.1), "{}", row.1);
            assert!(explanation(row.1.strip_prefix(PROBLEMS).unwrap()).is_some());
        }
        assert!(explanation("nonsense").is_none());
    }

    #[test]
    fn desk_errors_become_their_status() {
        for (error, status) in [
            (DeskError::NotFound("x".into()), 404),
            (DeskError::UnknownSetting("x".into()), 404),
            (DeskError::NotStated("time-zone"), 404),
            (DeskError::Ambiguous { key: "x".into(), keys: Vec::new() }, 409),
            (DeskError::Invalid { field: "start", rule: "after the end".into() }, 422),
            (DeskError::InUse("a@b".into()), 409),
            (DeskError::Quarantined { address: "a@b".into(), until: None }, 409),
            (DeskError::Stale, 409),
            (DeskError::VersionMismatch("x".into()), 412),
            (DeskError::NotAllowed(Permission::SetRoles), 403),
            (DeskError::OwnPlan("token:one".into()), 403),
            (DeskError::Refused("no".into()), 422),
            (DeskError::Unavailable("down".into()), 503),
            (DeskError::AuditUnavailable("disk full".into()), 503),
            (DeskError::OutcomeUnknown("lost".into()), 503),
        ] {
            assert_eq!(Problem::from(error.clone()).status, status, "{error}");
        }
    }

    #[test]
    fn a_problem_sets_its_headers_and_points_to_the_field() {
        let reply = Problem::from(DeskError::Unavailable("down".into())).into_response();
        assert_eq!(reply.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(reply.headers()[header::RETRY_AFTER], "5");
        let reply = Problem::new(ProblemKind::Unauthorized, "").into_response();
        assert!(reply.headers().contains_key(header::WWW_AUTHENTICATE));
        let pointer = &Problem::from(DeskError::Invalid { field: "end", rule: "r".into() }).errors[0].pointer;
        assert_eq!(pointer, "/end");
    }
}
