//! Setting and clearing a vacation reply.

use axum::extract::{Path, State};
use axum::response::Response;
use provost_provision::DeskError;

use crate::change::{change_and_return, redirect_with_flash, run_to_end};
use crate::form::{NoFields, SessionForm};
use crate::page::desk_failure;
use crate::person_page::{FormProblems, show_mistakes};
use crate::rule;
use crate::vacation_form::{VacationForm, field_of};
use crate::web::Web;

/// Sets the vacation reply. A form with mistakes is shown again, with a message at each wrong field.
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
            return Ok(show_mistakes(&web, &signed_in, &id, mistakes).await);
        }
    };
    let (desk, principal, key) = (web.services.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.set_vacation(&principal, &key, change).await };
    match run_to_end(&signed_in.visitor, change).await? {
        Ok(_) => Ok(redirect_with_flash(&web, &signed_in, &id, "vacation.saved", String::new()).await),
        Err(DeskError::Invalid { field, rule }) => {
            let wrong = vec![(field_of(field).unwrap_or("text_fr"), rule::in_words(&rule, language))];
            let mistakes = FormProblems { vacation: Some((fields, wrong)), ..FormProblems::default() };
            Ok(show_mistakes(&web, &signed_in, &id, mistakes).await)
        }
        Err(error) => Err(desk_failure(&signed_in.visitor, &error)),
    }
}

/// Clears the vacation reply, if one is set.
pub(crate) async fn clear(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<NoFields>,
) -> Result<Response, Response> {
    let signed_in = form.signed_in;
    let (desk, principal, key) = (web.services.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.clear_vacation(&principal, &key).await };
    change_and_return(&web, &signed_in, &id, change, ("vacation.cleared", |_| String::new())).await
}
