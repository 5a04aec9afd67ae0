//! Signed-in people whose role may view people.

use provost_provision::{Permission, Principal};
use provost_view::{Person, PersonState};

use crate::session::{RequestSession, SessionKey};
use crate::web::Web;

/// The principal of a person; `None` when their state is not active.
pub(crate) fn principal_of(person: &Person) -> Option<Principal> {
    let roles = person.roles.iter().map(AsRef::as_ref);
    (person.state == PersonState::Active).then(|| Principal::person(&person.uid, person.entry_uuid, roles))
}

/// A signed-in person.
#[derive(Clone, Debug)]
pub(crate) struct User {
    /// The login, for the head of the page.
    pub(crate) uid: String,
    /// The DN of the entry; its RDN is the provostPersonId.
    pub(crate) dn: String,
    /// The principal under which the operations run.
    pub(crate) principal: Principal,
    pub(crate) session: SessionKey,
    /// The token that each form of this session must send.
    pub(crate) csrf: String,
}

impl User {
    /// Whether the user is the person with this provostPersonId.
    pub(crate) fn is_person(&self, id: &str) -> bool {
        let name = self.dn.split(',').next().and_then(|rdn| rdn.split_once('='));
        name.is_some_and(|(_, value)| value == id)
    }

    /// The user of a session, as the present View has the person. `None` ends the session: the person has left, lost
    /// the role or is not active, or the passwords were changed elsewhere.
    pub(crate) async fn of(web: &Web, visit: &RequestSession) -> Option<Self> {
        let person = web.services.view.snapshot().person(visit.entry_uuid);
        let has_passwords = match &person {
            Some(person) => web.sessions.has_passwords(visit, &person.passwords).await,
            None => false,
        };
        let principal = person.as_deref().filter(|_| has_passwords).and_then(principal_of);
        let principal = principal.filter(|principal| principal.may(Permission::ViewPerson));
        match (person, principal) {
            (Some(person), Some(principal)) => {
                let (session, csrf) = (visit.key.clone(), visit.csrf.clone());
                Some(Self { uid: person.uid.to_string(), dn: person.dn.to_string(), principal, session, csrf })
            }
            _ => {
                web.sessions.end(&visit.key).await;
                None
            }
        }
    }
}
