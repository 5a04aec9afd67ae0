//! Searching for people, showing one, and changing a person's addresses.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use provost_provision::{AddressInfo, DeskError, Permission, PersonSummary};
use serde::{Deserialize, Serialize};

use crate::change::{change_and_return, redirect_with_flash, run_to_end};
use crate::form::SessionForm;
use crate::language::Language;
use crate::page::{desk_failure, in_quarantine, page};
use crate::person_link::{person_url, state_level};
use crate::person_page::{self, FormProblems};
use crate::rule;
use crate::signed_in::SignedIn;
use crate::web::Web;

/// Maximum number of people that a search shows.
const PEOPLE_MAX: usize = 50;
/// Longest search text, in characters.
const SEARCH_CHARS_MAX: usize = 200;

#[derive(Deserialize)]
pub(crate) struct SearchQuery {
    #[serde(default)]
    q: String,
}

#[derive(Serialize)]
struct SearchPage {
    q: String,
    error: Option<String>,
    results: Option<PeoplePage>,
}

#[derive(Serialize)]
struct PeoplePage {
    heading_key: &'static str,
    count: usize,
    more: bool,
    people: Vec<FoundPerson>,
}

#[derive(Serialize)]
struct FoundPerson {
    url: String,
    name: String,
    mail: String,
    uid: String,
    affiliation: String,
    state: String,
    /// The CSS class that colours the state.
    level: &'static str,
}

impl FoundPerson {
    fn new(person: PersonSummary, language: Language) -> Self {
        Self {
            url: person_url(&person.id),
            name: person.display_name,
            mail: person.mail,
            uid: person.uid,
            affiliation: language.name("affiliation", &person.affiliation),
            state: language.name("state", &person.state),
            level: state_level(&person.state),
        }
    }
}

/// Shows the search form; redirects people who may not search to their own page.
pub(crate) async fn start(signed_in: SignedIn) -> Response {
    let user = &signed_in.user;
    if !user.principal.may(Permission::SearchPeople) {
        return Redirect::to(&person_url(user.id())).into_response();
    }
    let body = SearchPage { q: String::new(), error: None, results: None };
    page(&signed_in.visitor, StatusCode::OK, "search", &body)
}

/// Shows the people found; redirects a blank search to the form.
pub(crate) async fn search(State(web): State<Web>, signed_in: SignedIn, Query(query): Query<SearchQuery>) -> Response {
    let visitor = &signed_in.visitor;
    let q = query.q.trim().to_owned();
    if q.is_empty() {
        return Redirect::to("/").into_response();
    }
    let (desk, principal) = (&web.services.desk, &signed_in.user.principal);
    if let Err(error) = desk.permit(principal, Permission::SearchPeople).await {
        return desk_failure(visitor, &error);
    }
    if q.chars().count() > SEARCH_CHARS_MAX {
        let error = Some(visitor.language.text("search.too_long", &[]));
        let q = q.chars().take(SEARCH_CHARS_MAX).collect();
        return page(visitor, StatusCode::UNPROCESSABLE_ENTITY, "search", &SearchPage { q, error, results: None });
    }
    let mut people = match desk.search(principal, &q, PEOPLE_MAX + 1).await {
        Ok(people) => people,
        Err(error) => return desk_failure(visitor, &error),
    };
    let more = people.len() > PEOPLE_MAX;
    people.truncate(PEOPLE_MAX);
    let heading_key = match people.len() {
        0 => "search.found_none",
        1 => "search.found_one",
        _ => "search.found_many",
    };
    let count = people.len();
    let people = people.into_iter().map(|person| FoundPerson::new(person, visitor.language)).collect();
    let results = Some(PeoplePage { heading_key, count, more, people });
    page(visitor, StatusCode::OK, "search", &SearchPage { q, error: None, results })
}

/// Shows one person. The view is audited.
pub(crate) async fn show(State(web): State<Web>, signed_in: SignedIn, Path(id): Path<String>) -> Response {
    person_page::show(&web, &signed_in, &id, FormProblems::default(), StatusCode::OK).await
}

#[derive(Deserialize)]
pub(crate) struct AddressForm {
    #[serde(default)]
    address: String,
}

/// Adds an alias. The person's page shows a refused alias again in the form, with the reason.
pub(crate) async fn add_alias(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<AddressForm>,
) -> Result<Response, Response> {
    let SessionForm { signed_in, fields } = form;
    let address = fields.address.trim().to_owned();
    let (desk, principal) = (web.services.desk.clone(), signed_in.principal());
    let (key, wanted) = (id.clone(), address.clone());
    let change = async move { desk.add_alias(&principal, &key, &wanted).await };
    match run_to_end(&signed_in.visitor, change).await? {
        Ok(_) => Ok(redirect_with_flash(&web, &signed_in, &id, "addresses.added", address).await),
        Err(error) => {
            let language = signed_in.visitor.language;
            let (status, text) = match &error {
                DeskError::Invalid { field: "address", rule } => {
                    (StatusCode::UNPROCESSABLE_ENTITY, rule::in_words(rule, language))
                }
                DeskError::InUse(_) => (StatusCode::CONFLICT, language.text("error.in_use", &[("value", &address)])),
                DeskError::Quarantined { address, until } => {
                    (StatusCode::CONFLICT, in_quarantine(&signed_in.visitor, address, until.as_deref()))
                }
                DeskError::Refused(why) => {
                    (StatusCode::UNPROCESSABLE_ENTITY, language.text("error.refused", &[("rule", why)]))
                }
                other => return Err(desk_failure(&signed_in.visitor, other)),
            };
            let mistakes = FormProblems { alias: Some((address, text)), ..FormProblems::default() };
            Ok(person_page::show(&web, &signed_in, &id, mistakes, status).await)
        }
    }
}

/// Whether addresses of this kind can be removed. The desk checks again.
pub(crate) fn can_be_removed(info: &AddressInfo) -> bool {
    !matches!(info.kind.as_str(), "primary" | "quarantined")
}

#[derive(Serialize)]
struct RemovalPage {
    url: String,
    name: String,
    address: String,
}

/// Asks for confirmation before an address is removed.
pub(crate) async fn confirm_removal(
    State(web): State<Web>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Query(query): Query<AddressForm>,
) -> Result<Response, Response> {
    let (visitor, principal, desk) = (&signed_in.visitor, &signed_in.user.principal, &web.services.desk);
    desk.permit(principal, Permission::ChangeAddresses).await.map_err(|error| desk_failure(visitor, &error))?;
    let person = desk.person(principal, &id).await.map_err(|error| desk_failure(visitor, &error))?;
    let Some(info) = person.addresses.iter().find(|info| info.address == query.address && can_be_removed(info)) else {
        return Err(desk_failure(visitor, &DeskError::NotFound(query.address)));
    };
    let body =
        RemovalPage { url: person_url(&id), name: person.summary.display_name.clone(), address: info.address.clone() };
    Ok(page(visitor, StatusCode::OK, "address_remove", &body))
}

/// Removes an address.
pub(crate) async fn remove_alias(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<AddressForm>,
) -> Result<Response, Response> {
    let SessionForm { signed_in, fields } = form;
    let (desk, principal) = (web.services.desk.clone(), signed_in.principal());
    let (key, address) = (id.clone(), fields.address.clone());
    let change = async move { desk.remove_alias(&principal, &key, &address).await };
    change_and_return(&web, &signed_in, &id, change, ("addresses.removed", |_| fields.address)).await
}
