//! Setting and clearing a vacation reply.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use provost_provision::DeskError;

use crate::change::{done, to_its_end};
use crate::form::{NoFields, SessionForm};
use crate::page::desk_failure;
use crate::person_page::{self, FormProblems};
use crate::rule;
use crate::vacation_form::{VacationForm, field_of};
use crate::web::Web;

/// Sets the reply; shows the form again with the mistakes if it has any.
pub(crate) async fn set(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<VacationForm>,
) -> Result<Response, Response> {
    let SessionForm { signed_in, fields } = form;
    let language = signed_in.visitor.language;
    let change = match fields.read(language) {
        Ok(change) => change,
        Err(wrong) => {
            let mistakes = FormProblems { vacation: Some((fields, wrong)), ..FormProblems::default() };
            return Ok(person_page::show(&web, &signed_in, &id, mistakes, StatusCode::UNPROCESSABLE_ENTITY).await);
        }
    };
    let (desk, principal, key) = (web.site.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.set_vacation(&principal, &key, change).await };
    match to_its_end(&signed_in.visitor, change).await? {
        Ok(_) => Ok(done(&web, &signed_in, &id, "vacation.saved", String::new()).await),
        Err(DeskError::Invalid { field, rule }) => {
            let wrong = vec![(field_of(field).unwrap_or("text_fr"), rule::in_words(&rule, language))];
            let mistakes = FormProblems { vacation: Some((fields, wrong)), ..FormProblems::default() };
            Ok(person_page::show(&web, &signed_in, &id, mistakes, StatusCode::UNPROCESSABLE_ENTITY).await)
        }
        Err(error) => Err(desk_failure(&signed_in.visitor, &error)),
    }
}

/// Clears the reply, if there is one.
pub(crate) async fn clear(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<NoFields>,
) -> Result<Response, Response> {
    let signed_in = form.signed_in;
    let (desk, principal, key) = (web.site.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.clear_vacation(&principal, &key).await };
    match to_its_end(&signed_in.visitor, change).await? {
        Ok(_) => Ok(done(&web, &signed_in, &id, "vacation.cleared", String::new()).await),
        Err(error) => Err(desk_failure(&signed_in.visitor, &error)),
    }
}
