//! Handlers for a registrar's file: upload and plan, show the plan, apply the plan of a given hash.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use provost_provision::{AttributeChange, GuardReport, Permission, PersonChange, Plan, PlannedImport, Principal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::Caller;
use crate::background_apply::{self, ApplyQuery, ReadyPlan};
use crate::extract::{CsvBody, JsonBody, PathParameters, QueryParameters};
use crate::failures::RouteFailures;
use crate::jobs::Job;
use crate::model::RejectedRow;
use crate::model_plans::{GuardBody, SummaryBody};
use crate::problem::{Problem, ProblemKind};
use crate::reply::audited;
use crate::shared::HandlerState;
use crate::uploaded_files::{Upload, UploadEncoding, UploadedFileError};

/// Maximum number of changes, and of problems of rejected rows, that an answer lists. The summary counts all changes
/// and rejected rows.
const LISTED_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadQuery {
    source: Option<String>,
    encoding: Option<String>,
    separator: Option<String>,
    coverage: Option<String>,
    partial: Option<bool>,
    extracted: Option<String>,
    #[serde(default)]
    force: bool,
}

/// The changes that an import would make.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportBody {
    /// Id of the plan, for the paths below `/imports`.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Hash that identifies exactly this plan: state it to apply.
    hash: String,
    /// Counts of rows, changes and writes.
    summary: SummaryBody,
    /// The limits of the guard that the plan exceeds: when there are any, its apply will be stopped.
    guard: GuardBody,
    /// The first 1000 changes.
    changes: Vec<ChangeBody>,
    /// The first 1000 problems of the rows that are left out; a row may have several.
    rejected: Vec<RejectedRow>,
    /// The first 1000 problems of fields that are ignored, while their rows are used.
    warnings: Vec<RejectedRow>,
}

/// The change of one person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeBody {
    /// Line of the row that asks for the change.
    line: u64,
    /// Description of the change.
    what: String,
    /// Why the change is made.
    reason: ReasonBody,
    /// Attributes of the person and of their addresses, before and after. Passwords are not included.
    attributes: Vec<AttributeBody>,
}

/// Why a change is made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReasonBody {
    /// Id of the rule: `person.unknown`, `person.renamed`, `address.primary`, `person.differs`,
    /// `address.entry`.
    rule: String,
    /// Description of the reason.
    words: String,
}

/// One attribute that changes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttributeBody {
    /// LDAP name of the attribute.
    attribute: String,
    /// Values held now; empty for a new entry or attribute.
    before: Vec<String>,
    /// Values after the change; an empty list removes the attribute.
    after: Vec<String>,
    /// Id of the rule that produces the values: `column.family_name`, `address.primary`, ...
    rule: String,
}

impl From<&PersonChange> for ChangeBody {
    fn from(change: &PersonChange) -> Self {
        let attributes = change.writes.iter().flat_map(|write| &write.attributes).map(AttributeBody::from).collect();
        let reason = ReasonBody { rule: change.reason.rule.to_string(), words: change.reason.words.clone() };
        Self { line: change.line, what: change.what.clone(), reason, attributes }
    }
}

impl From<&AttributeChange> for AttributeBody {
    fn from(change: &AttributeChange) -> Self {
        Self {
            attribute: change.name.as_str().to_owned(),
            before: change.before.clone(),
            after: change.after.clone(),
            rule: change.rule.to_string(),
        }
    }
}

impl ImportBody {
    fn new(id: Uuid, plan: &Plan, report: GuardReport) -> Self {
        Self {
            id,
            hash: plan.hash().to_owned(),
            summary: plan.summary().into(),
            guard: report.into(),
            changes: plan.changes().iter().take(LISTED_MAX).map(ChangeBody::from).collect(),
            rejected: plan.rejected().iter().take(LISTED_MAX).map(Into::into).collect(),
            warnings: plan.warnings().iter().take(LISTED_MAX).map(Into::into).collect(),
        }
    }
}

/// The plan to apply.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyBody {
    /// The `hash` that the plan showed.
    hash: String,
}

/// Plans a registrar's file. Nothing is changed; the file waits 24 hours for its apply.
#[utoipa::path(
    post, operation_id = "planImport", path = "/imports", tag = "imports",
    params(
        ("source" = Option<String>, Query, pattern = "^[a-z0-9_-]{1,32}$", description = "Name of the source, whose profile says how the file is read; `registrar` by default"),
        ("encoding" = Option<String>, Query, pattern = "^([Uu][Tt][Ff]-?8|[Ww][Ii][Nn][Dd][Oo][Ww][Ss]-1252|[Cc][Pp]1252|[Ll][Aa][Tt][Ii][Nn]-1|[Uu][Tt][Ff]-16)$", description = "`utf-8`, `windows-1252`, `latin-1` or `utf-16`; without it the profile of the source decides"),
        ("separator" = Option<String>, Query, pattern = "^(comma|semicolon|tab|,|;|\t)$", description = "`comma`, `semicolon` or `tab`; without it the header decides"),
        ("coverage" = Option<String>, Query, pattern = "^(complete|partial)$", description = "`partial`: the file names only some people; `complete`: nobody else is known to the source. Without it the profile of the source decides"),
        ("partial" = Option<bool>, Query, description = "`true` is `coverage=partial`, `false` is `coverage=complete`; not together with `coverage`"),
        ("extracted" = Option<String>, Query, format = "date-time", description = "When the source made the file; a file older than the last one is refused"),
        ("force" = Option<bool>, Query, description = "`true`: read the file although a newer one of its source was imported"),
    ),
    request_body(content = String, content_type = "text/csv", description = "The file, at most 64 MiB"),
    responses((status = 201, description = "The plan", body = ImportBody, headers(("Location" = String), ("X-Audit-Id" = String))), RouteFailures)
)]
pub(crate) async fn upload(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    QueryParameters(query): QueryParameters<UploadQuery>,
    file: CsvBody,
) -> Result<impl IntoResponse, Problem> {
    let now = Timestamp::now();
    let mut upload = Upload {
        uploaded_at: now,
        source: query.source,
        encoding: encoding_of(query.encoding.as_deref())?,
        separator: separator_of(query.separator.as_deref())?,
        is_partial: is_partial(query.coverage.as_deref(), query.partial)?,
        extracted: extracted_at(query.extracted.as_deref())?,
        force: query.force,
        hash: String::new(),
    };
    let desk = &shared.desk;
    desk.permit(&principal, Permission::PlanImport).await?;
    let _turn = shared.turns.wait_to_plan().await?;
    let octets = file.octets.clone();
    let planned = desk.plan_import(&principal, octets.clone(), upload.options()).await?;
    let plan = &planned.plan;
    upload.hash = plan.hash().to_owned();
    let id = Uuid::new_v4();
    let body = ImportBody::new(id, plan, desk.judge(&planned).await?);
    let detail = serde_json::json!({ "import": id, "rows": plan.summary().rows, "writes": plan.summary().writes });
    // Write the audit record first: a file with people and passwords must not wait without one.
    let audit_id = desk.permit_change(&principal, Permission::PlanImport, &body.hash, detail).await?;
    shared.uploaded_files.keep(id, &octets, upload).await?;
    let location =
        AppendHeaders(HeaderValue::from_str(&format!("/api/v1/imports/{id}")).ok().map(|at| (header::LOCATION, at)));
    Ok((StatusCode::CREATED, audited(&audit_id, (location, Json(body)))))
}

/// Shows the plan of an uploaded file, made anew from the present directory.
#[utoipa::path(
    get, operation_id = "showImport", path = "/imports/{id}", tag = "imports",
    params(("id" = String, Path, format = "uuid", description = "Id of the import")),
    responses((status = 200, description = "The plan", body = ImportBody), RouteFailures)
)]
pub(crate) async fn show(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(id): PathParameters<Uuid>,
) -> Result<Json<ImportBody>, Problem> {
    shared.desk.permit(&principal, Permission::ViewImports).await?;
    let _turn = shared.turns.wait_to_plan().await?;
    let planned = plan_again(&shared, &principal, id).await?;
    let report = shared.desk.judge(&planned).await?;
    Ok(Json(ImportBody::new(id, &planned.plan, report)))
}

/// Applies the plan with the given hash; refused when the plan has changed since, or when it exceeds a limit of the guard.
/// A plan that the guard stops is kept on this node: see `/plans/{hash}/override`.
#[utoipa::path(
    post, operation_id = "applyImport", path = "/imports/{id}/apply", tag = "imports",
    params(
        ("id" = String, Path, format = "uuid", description = "Id of the import"),
        ("wait" = Option<u64>, Query, description = "Seconds to wait for the end, 0 to 60", maximum = 60),
    ),
    request_body = ApplyBody,
    responses(
        (status = 200, description = "Ended within `wait`", body = Job, headers(("Location" = String), ("X-Audit-Id" = String))),
        (status = 202, description = "Running: see `Location`", body = Job, headers(("Location" = String), ("X-Audit-Id" = String))),
        RouteFailures
    )
)]
pub(crate) async fn apply(
    State(shared): State<HandlerState>,
    Extension(Caller(principal)): Extension<Caller>,
    PathParameters(id): PathParameters<Uuid>,
    QueryParameters(query): QueryParameters<ApplyQuery>,
    JsonBody(body): JsonBody<ApplyBody>,
) -> Result<Response, Problem> {
    let wait = query.wait()?;
    shared.desk.permit(&principal, Permission::ApplyImport).await?;
    let prepare = prepare(shared.clone(), principal.clone(), id, body.hash);
    background_apply::apply(shared, principal, wait, prepare).await
}

/// Makes the plan anew, checks its hash, and writes the audit record.
async fn prepare(shared: HandlerState, principal: Principal, id: Uuid, hash: String) -> Result<ReadyPlan, Problem> {
    let planning = shared.turns.wait_to_plan().await?;
    let planned = plan_again(&shared, &principal, id).await?;
    drop(planning);
    let (plan, present_hash) = (&planned.plan, planned.plan.hash());
    if present_hash != hash {
        let mut problem = Problem::new(ProblemKind::PlanChanged, "the hash differs from that of the present plan");
        problem.hash = Some(present_hash.into());
        return Err(problem);
    }
    let detail = serde_json::json!({ "import": id, "writes": plan.summary().writes });
    let audit_id = shared.desk.permit_change(&principal, Permission::ApplyImport, present_hash, detail).await?;
    Ok(ReadyPlan { planned, audit_id, import: Some(id) })
}

/// Plans an uploaded file with the present directory.
async fn plan_again(shared: &HandlerState, principal: &Principal, id: Uuid) -> Result<PlannedImport, Problem> {
    let (upload, octets) = shared.uploaded_files.read(id, Timestamp::now()).await?;
    Ok(shared.desk.review_import(principal, octets, upload.options()).await?)
}

impl From<UploadedFileError> for Problem {
    fn from(error: UploadedFileError) -> Self {
        match error {
            UploadedFileError::Gone => {
                Self::new(ProblemKind::NotFound, "the import does not exist, was applied or has expired")
            }
            UploadedFileError::Full => Self::new(ProblemKind::Busy, "too many imports wait to be applied"),
            UploadedFileError::State(error) => error.into(),
        }
    }
}

fn encoding_of(text: Option<&str>) -> Result<Option<UploadEncoding>, Problem> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("utf-8" | "utf8") => Ok(Some(UploadEncoding::Utf8)),
        Some("windows-1252" | "cp1252") => Ok(Some(UploadEncoding::Windows1252)),
        Some("latin-1") => Ok(Some(UploadEncoding::Latin1)),
        Some("utf-16") => Ok(Some(UploadEncoding::Utf16)),
        Some(_) => Err(Problem::invalid("?encoding", "utf-8, windows-1252, latin-1 or utf-16")),
    }
}

/// Coverage by either of its two parameters.
fn is_partial(coverage: Option<&str>, partial: Option<bool>) -> Result<Option<bool>, Problem> {
    match coverage {
        None => Ok(partial),
        Some(_) if partial.is_some() => Err(Problem::invalid("?partial", "state coverage or partial, not both")),
        Some("partial") => Ok(Some(true)),
        Some("complete") => Ok(Some(false)),
        Some(_) => Err(Problem::invalid("?coverage", "complete or partial")),
    }
}

fn extracted_at(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|_| Problem::invalid("?extracted", "a time such as 2026-09-01T04:00:00Z"))
}

fn separator_of(text: Option<&str>) -> Result<Option<char>, Problem> {
    match text {
        None => Ok(None),
        Some("," | "comma") => Ok(Some(',')),
        Some(";" | "semicolon") => Ok(Some(';')),
        Some("\t" | "tab") => Ok(Some('\t')),
        Some(_) => Err(Problem::invalid("?separator", "comma, semicolon or tab")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_an_upload_are_read_and_others_refused() {
        assert_eq!(encoding_of(None).unwrap(), None);
        assert_eq!(encoding_of(Some("Windows-1252")).unwrap(), Some(UploadEncoding::Windows1252));
        assert_eq!(encoding_of(Some("latin1")).unwrap_err().status, 422);
        assert_eq!(separator_of(Some(";")).unwrap(), Some(';'));
        assert_eq!(separator_of(Some("comma")).unwrap(), Some(','));
        assert_eq!(separator_of(Some("tab")).unwrap(), Some('\t'));
        assert_eq!(is_partial(Some("complete"), None).unwrap(), Some(false));
        assert_eq!(is_partial(None, Some(true)).unwrap(), Some(true));
        assert_eq!(is_partial(Some("partial"), Some(true)).unwrap_err().errors[0].pointer, "?partial");
        assert!(extracted_at(Some("2026-09-01T04:00:00Z")).unwrap().is_some());
        assert_eq!(extracted_at(Some("yesterday")).unwrap_err().errors[0].pointer, "?extracted");
        assert_eq!(separator_of(Some("pipe")).unwrap_err().errors[0].pointer, "?separator");
    }
}
