//! The one person, and the View with this person, that the fuzz targets use.

use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use provost_view::{Address, Affiliation, Fallback, Login, LoginAttempt, Person, PersonState, Secret, Vacation, View};
use uuid::Uuid;

pub(crate) const UUID: Uuid = Uuid::from_u128(1);

pub(crate) fn zoe(vacation: Option<Vacation>) -> Person {
    Person {
        entry_uuid: UUID,
        dn: "provostPersonId=1,ou=people,dc=example,dc=edu".into(),
        uid: "zoe".into(),
        display_name: "Zoë".into(),
        primary: Address::parse("zoe@example.edu").expect("an address"),
        state: PersonState::Active,
        affiliation: Affiliation::Student,
        language: None,
        // Clear text: a hash would take most of the time of a run.
        passwords: vec!["{CLEARTEXT}secret".into()],
        quota_octets: Some(100_000),
        vacation: vacation.map(Box::new),
        roles: Vec::new(),
        password_state: provost_view::PasswordState::default(),
        access: provost_view::Access::default(),
        quota_class: None,
        quota_until: None,
    }
}

/// A View that holds only [`zoe`], without a directory server. The login here lets the View measure how long a password
/// check takes. Later logins with unknown names wait about this long and compute no hash.
pub(crate) async fn view() -> View {
    let mut fallback = Fallback::default();
    fallback.add("message-size", "fuzz", "65536").expect("a size");
    let view = View::fixed_with(vec![zoe(None)], fallback);
    let password = Secret::new("secret");
    let source = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let attempt = LoginAttempt { name: "zoe", password: &password, source, service: "fuzz" };
    assert!(matches!(view.login(attempt, Timestamp::UNIX_EPOCH).await, Login::Accepted(_)));
    view
}
