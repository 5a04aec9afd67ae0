//! Signed-in people whose role may view people.

use provost_provision::{Permission, Principal};
use provost_view::{Person, PersonState};

use crate::session::{RequestSession, SessionKey};
use crate::web::Web;

/// The principal of a person; `None` when the account is not active.
pub(crate) fn principal_of(person: &Person) -> Option<Principal> {
    let roles = person.roles.iter().map(AsRef::as_ref);
    (person.state == PersonState::Active).then(|| Principal::person(&person.uid, person.entry_uuid, roles))
}

/// A signed-in person.
#[derive(Clone, Debug)]
pub(crate) struct User {
    /// The login, for the head of the page.
    pub(crate) uid: String,
    /// The principal of the operations.
    pub(crate) principal: Principal,
    pub(crate) session: SessionKey,
    /// The token that each form of this session must send.
    pub(crate) csrf: String,
}

impl User {
    /// The user of a session, by the present View: a removed role or a suspension ends the session at once.
    pub(crate) async fn of(web: &Web, visit: &RequestSession) -> Option<Self> {
        let person = web.site.view.snapshot().person(visit.entry_uuid);
        let principal =
            person.as_deref().and_then(principal_of).filter(|principal| principal.may(Permission::ViewPerson));
        match (person, principal) {
            (Some(person), Some(principal)) => {
                let (session, csrf) = (visit.key.clone(), visit.csrf.clone());
                Some(Self { uid: person.uid.to_string(), principal, session, csrf })
            }
            _ => {
                web.sessions.end(&visit.key).await;
                None
            }
        }
    }
}
