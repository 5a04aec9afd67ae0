//! Simple bind (RFC 4513 §5.1) and password modify (RFC 3062).

use provost_credential::{Scheme, Secret, Verification};
use provost_entry::Dn;
use provost_schema::attr;
use rand::Rng as _;

use crate::access::Identity;
use crate::ber::{BerReader, BerWriter, MalformedBer, SEQUENCE};
use crate::change::{existing, parse_dn};
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::message::{ModifyItem, ModifyKind, WriteOperation};
use crate::shared::ServerContext;

/// Length of a generated password, characters: about 95 bits with the alphabet below.
const GENERATED_CHARACTERS: usize = 16;
/// The alphabet of generated passwords, without characters that look alike.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789+-=%.";

/// Returns the identity that this name and password prove. A wrong password and an unknown name get the same refusal
/// after about the same time.
pub(crate) async fn authenticate(shared: &ServerContext, dn: &str, password: Secret) -> OperationResult<Identity> {
    let dn = parse_dn(dn)?;
    let invalid = || LdapResult::new(ResultCode::InvalidCredentials, "");
    let is_root = dn == shared.root_dn;
    let (identity, mut stored) = if is_root {
        (Some(Identity::root(dn)), vec![shared.root_password.clone().into_bytes()])
    } else {
        let tree = shared.directory.read();
        let place = tree.find(&dn);
        let stored = place.map(|place| tree.values(place, attr::USER_PASSWORD)).unwrap_or_default();
        (place.map(|place| Identity::of_entry(&tree, place, dn)), stored)
    };
    let has_password = identity.is_some() && !stored.is_empty();
    if !has_password {
        // Check against root's hash instead, so that the time does not reveal which names exist.
        stored = vec![shared.root_password.clone().into_bytes()];
    }
    let matched = check(shared, password, stored).await?;
    identity.filter(|_| has_password && matched).ok_or_else(invalid)
}

async fn check(shared: &ServerContext, password: Secret, stored: Vec<Vec<u8>>) -> OperationResult<bool> {
    let work = move || stored.iter().any(|stored| provost_credential::verify(&password, stored) == Verification::Match);
    shared.hashing.run(work).await
}

/// A checked password modify request: the write to queue, its identity, and the password that was generated, if the
/// request has none.
#[derive(Debug)]
pub(crate) struct PasswordModify {
    pub(crate) operation: WriteOperation,
    pub(crate) identity: Identity,
    pub(crate) generated: Option<Secret>,
}

/// Decodes and checks a request value (RFC 3062 §2), and hashes the password.
pub(crate) async fn modify(
    shared: &ServerContext,
    identity: &Identity,
    value: Option<&[u8]>,
) -> OperationResult<PasswordModify> {
    let malformed = |_| LdapResult::new(ResultCode::ProtocolError, "password modify: malformed value");
    let (mut user, mut old, mut new) = (None, None, None);
    if let Some(value) = value {
        let mut body = BerReader::new(value).within(SEQUENCE).map_err(malformed)?;
        while let Some(tag) = body.peek() {
            let text = body.text(tag).map_err(malformed)?;
            match tag {
                0x80 => user = Some(text.to_owned()),
                0x81 => old = Some(Secret::new(text)),
                0x82 => new = Some(Secret::new(text)),
                _ => return Err(malformed(MalformedBer)),
            }
        }
    }
    let target = match user {
        Some(user) => parse_dn(user.strip_prefix("dn:").unwrap_or(&user))?,
        None => identity.dn.clone(),
    };
    check_target(shared, identity, &target, old).await?;
    let (password, generated) = match new {
        Some(new) => (new, None),
        None => {
            let generated = generate();
            (generated.clone(), Some(generated))
        }
    };
    if !password.is_usable() {
        let text = "the new password is empty, too long, or contains U+0000";
        return Err(LdapResult::new(ResultCode::ConstraintViolation, text));
    }
    let hash = shared.hashing.run(move || provost_credential::hash(&password, Scheme::default())).await?;
    let item = ModifyItem {
        kind: ModifyKind::Replace,
        attribute: attr::USER_PASSWORD.to_owned(),
        values: vec![hash.into_bytes()],
    };
    let operation = WriteOperation::Modify { dn: target.as_str().to_owned(), items: vec![item] };
    // The right was checked above, so the write runs with root's rights; modifiersName stays that of the requester.
    let identity = Identity::root(identity.dn.clone());
    Ok(PasswordModify { operation, identity, generated })
}

async fn check_target(
    shared: &ServerContext,
    identity: &Identity,
    target: &Dn,
    old: Option<Secret>,
) -> OperationResult<()> {
    if !identity.may_set_password(target) {
        return Err(LdapResult::new(ResultCode::InsufficientAccessRights, ""));
    }
    let stored = {
        let tree = shared.directory.read();
        let place = existing(&tree, target)?;
        tree.values(place, attr::USER_PASSWORD)
    };
    let is_allowed = match old {
        Some(old) => check(shared, old, stored).await?,
        None => true,
    };
    if is_allowed { Ok(()) } else { Err(LdapResult::new(ResultCode::UnwillingToPerform, "the old password is wrong")) }
}

fn generate() -> Secret {
    let mut random = rand::rng();
    let letter = |random: &mut rand::rngs::ThreadRng| {
        let at = random.random_range(0..ALPHABET.len());
        char::from(ALPHABET.get(at).copied().unwrap_or(b'x'))
    };
    Secret::new((0..GENERATED_CHARACTERS).map(|_| letter(&mut random)).collect::<String>())
}

/// Returns the response value that carries a generated password (RFC 3062 §2).
pub(crate) fn response_value(generated: &Secret) -> Vec<u8> {
    let mut w = BerWriter::default();
    w.within(SEQUENCE, |w| w.string(0x80, generated.reveal().as_bytes()));
    w.into_octets()
}
