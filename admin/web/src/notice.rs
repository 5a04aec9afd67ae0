//! The page of a notice: what will be taken away, and the form with which the person objects.
//!
//! A link that does not work shows one page, whatever the reason: unknown, or the change has come or was called off.

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use provost_provision::{AnnouncedLoss, DeskError, OBJECTION_CHARS_MAX};
use serde::{Deserialize, Serialize};

use crate::activation::{PERSON_CHARS, TOKEN_OCTETS_MAX, encoded};
use crate::calendar::day;
use crate::change::run_to_end;
use crate::form::{foreign_form, unreadable_form};
use crate::page::{desk_failure, failure, outcome_unknown, page};
use crate::password_check::count_attempt;
use crate::security::is_same_origin;
use crate::visitor::Visitor;
use crate::web::Web;

#[derive(Deserialize)]
pub(crate) struct ObjectionForm {
    reason: String,
}

#[derive(Serialize)]
struct NoticePage {
    url: String,
    name: String,
    mail: String,
    day: String,
    losses: Vec<&'static str>,
    reason: String,
    chars_max: usize,
    /// Whether an objection is recorded.
    is_said: bool,
    error: Option<String>,
}

/// Shows what the notice has announced, and the form.
pub(crate) async fn show(
    State(web): State<Web>,
    visitor: Visitor,
    Path(token): Path<String>,
) -> Result<Response, Response> {
    let loss = announced(&web, &visitor, &token).await?;
    Ok(notice_page(&web, &visitor, &token, loss, StatusCode::OK, None))
}

/// Records what the person says.
pub(crate) async fn object(
    State(web): State<Web>,
    mut visitor: Visitor,
    Path(token): Path<String>,
    headers: HeaderMap,
    form: Result<Form<ObjectionForm>, FormRejection>,
) -> Result<Response, Response> {
    if !is_same_origin(&headers) {
        return Err(foreign_form(&visitor));
    }
    let Form(form) = form.map_err(|rejection| unreadable_form(&visitor, &rejection))?;
    let mut loss = announced(&web, &visitor, &token).await?;
    visitor.here = path(&token);
    let (desk, link, reason) = (web.services.desk.clone(), token.clone(), form.reason.clone());
    let record = async move { desk.object(&link, &reason, Timestamp::now()).await };
    match run_to_end(&visitor, record).await? {
        Ok(Some(_)) => {
            loss.objection = Some(form.reason);
            Ok(notice_page(&web, &visitor, &token, loss, StatusCode::OK, None))
        }
        Ok(None) | Err(DeskError::Stale) => Err(no_such_notice(&visitor)),
        Err(DeskError::Invalid { field: "reason", .. }) => {
            let count = OBJECTION_CHARS_MAX.to_string();
            let error = visitor.language.text("notice.reason_rule", &[("count", &count)]);
            Err(notice_page(&web, &visitor, &token, loss, StatusCode::UNPROCESSABLE_ENTITY, Some((form.reason, error))))
        }
        Err(DeskError::OutcomeUnknown(why)) => {
            tracing::warn!(why, "the outcome of an objection is unknown");
            Err(outcome_unknown(&visitor, "notice.outcome_unknown"))
        }
        Err(error) => Err(desk_failure(&visitor, &error)),
    }
}

/// What was announced. Attempts that find nothing are counted for the person whom the link names and for the address.
async fn announced(web: &Web, visitor: &Visitor, token: &str) -> Result<AnnouncedLoss, Response> {
    let now = Timestamp::now();
    if token.len() > TOKEN_OCTETS_MAX {
        return Err(no_such_notice(visitor));
    }
    let counted = format!("notice {}", token.get(..PERSON_CHARS).unwrap_or_default());
    if let Err(refused) = count_attempt(web, visitor, &counted, now).await {
        let shown = failure(visitor, refused.status, "notice.title", refused.key, &[("seconds", &refused.seconds())]);
        return Err(refused.with_wait(shown));
    }
    match web.services.desk.announced_loss(token, now).await {
        Ok(Some(loss)) => {
            web.throttle.succeeded(&counted, visitor.address, now).await;
            Ok(loss)
        }
        Ok(None) => Err(no_such_notice(visitor)),
        Err(error) => Err(desk_failure(visitor, &error)),
    }
}

fn no_such_notice(visitor: &Visitor) -> Response {
    failure(visitor, StatusCode::NOT_FOUND, "notice.title", "notice.unknown", &[])
}

/// The page; `problem` is the text as it was sent, and what is wrong with it.
fn notice_page(
    web: &Web,
    visitor: &Visitor,
    token: &str,
    loss: AnnouncedLoss,
    status: StatusCode,
    problem: Option<(String, String)>,
) -> Response {
    let zone = web.services.view.snapshot().settings().time_zone.clone();
    let is_said = loss.objection.is_some() && problem.is_none();
    let (typed, error) = problem.unzip();
    let [french, english] = loss.losses;
    let body = NoticePage {
        url: path(token),
        name: loss.name,
        mail: loss.mail,
        day: day(zone.to_datetime(loss.at).date(), visitor.language),
        losses: if visitor.language.tag() == "fr" { french } else { english },
        reason: typed.or(loss.objection).unwrap_or_default(),
        chars_max: OBJECTION_CHARS_MAX,
        is_said,
        error,
    };
    page(visitor, status, "notice", &body)
}

fn path(token: &str) -> String {
    format!("/notice/{}", encoded(token))
}
