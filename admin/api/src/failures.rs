//! Failures that every route may answer, for the OpenAPI document.

use utoipa::IntoResponses;

use crate::problem::Problem;

/// Failures that every route may answer.
#[derive(IntoResponses)]
#[allow(dead_code)] // Only the OpenAPI document uses it.
pub(crate) enum RouteFailures {
    /// The request cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// The request has no token, or one that is unknown, revoked or expired, or that belongs to a person who may not log in
    /// or no longer has its role.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// The role of the token does not allow the operation, or not on this person; or the token may not override the guard
    /// for a plan of its own.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// The person, address, import, job or setting does not exist; the import was applied or has expired; or the
    /// setting has no value in the directory.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The key matches more than one person, the address is in use or in quarantine, the entry or plan has changed
    /// meanwhile, the guard stops the plan, the import file is an old one, or the directory contradicts itself.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// `If-Match` is not the current version.
    #[response(status = 412, content_type = "application/problem+json")]
    PreconditionFailed(Problem),
    /// The body is larger than the path accepts.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is not of a type that the path accepts.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(Problem),
    /// A field breaks a rule, and `errors` points to the field; the whole import file is refused; or the directory
    /// refuses the change.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(Problem),
    /// A fault of the program, described in its log.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// The service is unavailable; a change may have been made. Try again after `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
    /// The request exceeded its time limit; a change may have been made.
    #[response(status = 504, content_type = "application/problem+json")]
    Timeout(Problem),
}
