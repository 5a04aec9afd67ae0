//! What every route may answer instead, for the OpenAPI document.

use utoipa::IntoResponses;

use crate::problem::Problem;

/// What every route may answer instead.
#[derive(IntoResponses)]
#[allow(dead_code)] // Only its description is used: by the document.
pub(crate) enum Failures {
    /// The request cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// No token, or one that is unknown, revoked or past its end.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// The role of the token does not allow it, or not on this person.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// No such person, address, import, job or setting.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// Ambiguous key, address in use, entry changed meanwhile, plan changed.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// `If-Match` is not the current version.
    #[response(status = 412, content_type = "application/problem+json")]
    PreconditionFailed(Problem),
    /// The body is larger than the path takes.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is not of the type that the path takes.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(Problem),
    /// A field is wrong: `errors` points to it.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(Problem),
    /// A fault of the program; its log says more.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// Later may work: see `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
    /// The request passed its deadline; a change may have happened.
    #[response(status = 504, content_type = "application/problem+json")]
    Timeout(Problem),
}
