//! Signed-in people.

use jiff::Timestamp;
use provost_provision::{Permission, Principal};
use provost_view::Person;

use crate::session::{RequestSession, SessionKey};
use crate::web::Web;

/// The principal of a person; `None` when they may not log in now.
pub(crate) fn principal_of(person: &Person) -> Option<Principal> {
    let roles = person.roles.iter().map(AsRef::as_ref);
    person.may_log_in(Timestamp::now()).then(|| Principal::person(&person.uid, person.entry_uuid, roles))
}

/// The View lacks the person of a session, but its absence from the directory is not certain (`View::is_certain`): the
/// session must not end.
pub(crate) struct PersonUnknown;

/// A signed-in person.
#[derive(Clone, Debug)]
pub(crate) struct User {
    /// The login, for the head of the page.
    pub(crate) uid: String,
    /// The DN of the entry; the value of its RDN is the provostPersonId.
    pub(crate) dn: String,
    /// The principal under which the operations run.
    pub(crate) principal: Principal,
    pub(crate) session: SessionKey,
    /// The token that each form of this session must send.
    pub(crate) csrf: String,
}

impl User {
    /// The user's provostPersonId, the value of the RDN; empty if the DN has none.
    pub(crate) fn id(&self) -> &str {
        let name = self.dn.split(',').next().and_then(|rdn| rdn.split_once('='));
        name.map_or("", |(_, value)| value)
    }

    /// Whether the user is the person with this provostPersonId.
    pub(crate) fn is_person(&self, id: &str) -> bool {
        self.id() == id
    }

    /// Whether no role of the user may view other people: their own page is then the only one for them.
    pub(crate) fn sees_only_own_page(&self) -> bool {
        !self.principal.may(Permission::ViewPerson)
    }

    /// Returns the user of a session, with the person's present state in the View. Ends the session and returns `None`
    /// when the person has left or may not log in, or when the password was changed outside this session.
    pub(crate) async fn of(web: &Web, visit: &RequestSession) -> Result<Option<Self>, PersonUnknown> {
        // Read before the snapshot, which is then at least as new.
        let is_certain = web.services.view.is_certain();
        let person = web.services.view.snapshot().person(visit.entry_uuid);
        if person.is_none() && !is_certain {
            return Err(PersonUnknown);
        }
        if let Some(person) = person
            && web.sessions.has_passwords(visit, &person.passwords).await
            && let Some(principal) = principal_of(&person)
        {
            let (session, csrf) = (visit.key.clone(), visit.csrf.clone());
            return Ok(Some(Self { uid: person.uid.to_string(), dn: person.dn.to_string(), principal, session, csrf }));
        }
        web.sessions.end(&visit.key).await;
        Ok(None)
    }
}
