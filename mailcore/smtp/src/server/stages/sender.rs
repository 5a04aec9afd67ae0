//! Stages at MAIL on submission: who sends, and under which address.

use provost_message::{Address, Arrival, AuthenticationResult, Verdict, without_detail};
use provost_view::{AddressKind, Person};

use super::{StageFinding, StageInput};
use crate::reply;

/// RFC 6409 §4.3: only logged-in people send, unless the state of their account forbids it. The session has looked up the person again for this command:
/// `person` is `None` when the account was closed after the login.
pub(super) async fn login(arrival: &Arrival) -> Verdict {
    match arrival.connection.as_ref().and_then(|connection| connection.person.as_ref()) {
        Some(person) if person.may_send() => Verdict::Accept,
        Some(_) => Verdict::object("no_send", reply::MAY_NOT_SEND),
        None => Verdict::object("no_login", reply::LOGIN_FIRST),
    }
}

/// RFC 6409 §6.1: people send under their own addresses only. A match is an authentication result (RFC 8601 §2.7.4).
pub(super) async fn sender(arrival: &Arrival, input: StageInput<'_>) -> StageFinding {
    let Some(person) = arrival.connection.as_ref().and_then(|connection| connection.person.as_ref()) else {
        return Verdict::object("no_login", reply::LOGIN_FIRST).into();
    };
    match &arrival.envelope.reverse_path {
        // Read receipts carry the null reverse-path (RFC 8098 §3), which claims no one's address.
        None => Verdict::Accept.into(),
        Some(path) if path.address().is_some_and(|address| is_theirs(person, &address, input)) => {
            StageFinding { verdict: Verdict::Accept, authentication: vec![AuthenticationResult::of_login(path)] }
        }
        Some(_) => Verdict::object("not_theirs", reply::NOT_YOUR_ADDRESS).into(),
    }
}

/// Whether the address is the person's, with or without a detail.
fn is_theirs(person: &Person, address: &Address, input: StageInput<'_>) -> bool {
    let snapshot = input.config.view.snapshot();
    let owner = |address: &Address| snapshot.by_address(address);
    let found = owner(address).or_else(|| without_detail(address).and_then(|user| owner(&user)));
    match found {
        Some((_, AddressKind::Quarantined | AddressKind::List)) | None => false,
        Some((owner, _)) => owner.entry_uuid == person.entry_uuid,
    }
}
