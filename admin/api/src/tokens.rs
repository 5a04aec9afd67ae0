//! Tokens of programs: each has a name and a role, and only its digest is stored.
//!
//! Created tokens have the form `NAME.SECRET` and an expiry. They are in the shared state and looked up at each
//! request, so a revocation takes effect on every node at once. One that belongs to a person is valid only while this
//! person may log in and has its role. A node may also have fixed tokens in its file
//! `api.tokens_file`.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use provost_provision::{Desk, DeskError, Permission, PersonDetail, Principal, Role};
use provost_store::{ChangeCondition, StateChange, StateError, StateRecord, StateSpace, StateStore, WhenFull};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

/// Longest life of a created token, in days, so that forgotten tokens expire.
pub const TOKEN_DAYS_MAX: i64 = 2 * 366;
/// Longest name of a token, in octets.
const NAME_OCTETS_MAX: usize = 64;
/// Maximum number of created tokens that are valid at once.
const TOKENS_MAX: usize = 1000;

static TOKENS: StateSpace =
    StateSpace { name: "token", records_max: TOKENS_MAX, octets_max: 2048, when_full: WhenFull::Refuse };

/// A token of a node's file, identified by its digest.
#[derive(Clone, Debug)]
pub struct FixedToken {
    /// Name of the token in the audit.
    pub name: String,
    /// blake3 of the token.
    pub digest: blake3::Hash,
    /// Role of the token.
    pub role: Role,
    /// Expiry; `None` for a line in the form of earlier versions: such a token never expires.
    pub expires: Option<Timestamp>,
}

/// A token to create.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Name of the token, unique; shown in the audit.
    pub name: String,
    /// Role of the token.
    pub role: Role,
    /// Expiry; at most [`TOKEN_DAYS_MAX`] from now.
    pub expires: Timestamp,
    /// The person to whom it belongs, by any key that the desk knows; `None` for a token of a program.
    pub person: Option<String>,
}

/// A token in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// Name of the token; the audit shows it.
    pub name: String,
    /// Name of its role.
    pub role: String,
    /// Time from which the token is not valid.
    pub expires: Timestamp,
    /// Time of creation.
    pub created: Timestamp,
    /// Creator of the token, as in the audit.
    pub created_by: String,
    /// Login of the person to whom it belongs, at its creation.
    pub person: Option<String>,
}

/// Why an operation on tokens failed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The principal may not do this, or the audit is unavailable. [`Tokens::revoke`] removes the token even in the
    /// second case.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The shared state failed.
    #[error("tokens: {0}")]
    State(#[from] StateError),
    /// The name or the expiry breaks a rule, which the text states.
    #[error("{0}")]
    Invalid(String),
    /// A valid token has this name.
    #[error("a token '{0}' already exists; revoke it first")]
    InUse(String),
    /// No valid token has this name.
    #[error("there is no token '{0}'")]
    NotFound(String),
}

/// A record of [`TOKENS`].
#[derive(Serialize, Deserialize)]
struct TokenRecord {
    digest: String,
    role: String,
    created: Timestamp,
    created_by: String,
    /// The person to whom the token belongs; absent in records of earlier versions.
    #[serde(default)]
    owner: Option<TokenOwner>,
}

/// The person to whom a token belongs.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct TokenOwner {
    entry_uuid: Uuid,
    /// Login at the creation of the token, for the list.
    uid: String,
}

/// A token that is known, not revoked and not expired.
#[derive(Clone, Debug)]
pub enum ValidToken {
    /// The token of a program: its principal.
    Program(Principal),
    /// The token of a person, about whom the caller must ask.
    Person(PersonToken),
}

/// A token of a person: [`PersonToken::principal`] says whether it counts.
#[derive(Clone, Debug)]
pub struct PersonToken {
    name: String,
    role: Role,
    entry_uuid: Uuid,
}

impl PersonToken {
    /// The entryUUID of the person.
    pub fn entry_uuid(&self) -> Uuid {
        self.entry_uuid
    }

    /// The principal of the token, given the values of `provostRole` of a person who may log in. `None` when the person no
    /// longer has the role of the token.
    pub fn principal<'a>(&self, roles: impl IntoIterator<Item = &'a str>) -> Option<Principal> {
        let principal = || Principal::token(&self.name, self.role).of_owner(self.entry_uuid);
        self.role.is_held_by(roles).then(principal)
    }
}

/// The tokens of the site and the node. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    state: Arc<dyn StateStore>,
    fixed: Arc<RwLock<Vec<FixedToken>>>,
}

impl Tokens {
    /// The tokens in the shared state, and the fixed ones of this node.
    pub fn new(state: Arc<dyn StateStore>, fixed: Vec<FixedToken>) -> Self {
        Self { state, fixed: Arc::new(RwLock::new(fixed)) }
    }

    /// Replaces the fixed tokens in all clones: a line removed from the file is revoked from the next request on.
    pub fn set_fixed(&self, fixed: Vec<FixedToken>) {
        *self.fixed.write().unwrap_or_else(PoisonError::into_inner) = fixed;
    }

    /// The fixed token with this digest. The comparison takes constant time and covers all tokens.
    fn find_fixed(&self, digest: &blake3::Hash) -> Option<FixedToken> {
        let tokens = self.fixed.read().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().fold(None, |found, fixed| if fixed.digest == *digest { Some(fixed) } else { found }).cloned()
    }

    /// A token that a caller presents; `None` when it is unknown, revoked or expired.
    pub async fn find(&self, token: &str, now: Timestamp) -> Result<Option<ValidToken>, StateError> {
        let digest = blake3::hash(token.as_bytes());
        if let Some(fixed) = self.find_fixed(&digest) {
            let is_in_force = fixed.expires.is_none_or(|end| now < end);
            return Ok(is_in_force.then(|| ValidToken::Program(Principal::token(&fixed.name, fixed.role))));
        }
        let Some((name, _)) = token.split_once('.').filter(|(name, _)| is_name(name)) else { return Ok(None) };
        let Some(record) = self.state.record(&TOKENS, name, now).await? else { return Ok(None) };
        let stored = read(&record)?;
        let known = blake3::Hash::from_hex(&stored.digest).is_ok_and(|known| known == digest);
        let Some(role) = Role::parse(&stored.role).filter(|_| known) else { return Ok(None) };
        Ok(Some(match stored.owner {
            None => ValidToken::Program(Principal::token(name, role)),
            Some(owner) => {
                ValidToken::Person(PersonToken { name: name.to_owned(), role, entry_uuid: owner.entry_uuid })
            }
        }))
    }

    /// Creates a token and returns it with the audit id. The token cannot be shown again.
    pub async fn create(
        &self,
        desk: &Desk,
        principal: &Principal,
        new: &NewToken,
        now: Timestamp,
    ) -> Result<(String, String), TokenError> {
        desk.permit(principal, Permission::ChangeTokens).await?;
        check_new(new, now)?;
        let owner = owner_of(desk, principal, new, now).await?;
        let person = owner.as_ref().map(|owner| &owner.uid);
        let detail = json!({ "create": new.name, "role": new.role.name(), "expires": new.expires, "person": person });
        let secret = blake3::Hash::from_bytes(rand::random()).to_hex();
        let token = format!("{}.{secret}", new.name);
        let stored = TokenRecord {
            digest: blake3::hash(token.as_bytes()).to_hex().to_string(),
            role: new.role.name().to_owned(),
            created: now,
            created_by: principal.actor().name.clone(),
            owner,
        };
        let value = serde_json::to_vec(&stored).map_err(|error| TokenError::Invalid(error.to_string()))?;
        // Write the audit record first: a token that is missing from the audit must not be valid.
        let audit_id = desk.permit_change(principal, Permission::ChangeTokens, &subject(&new.name), detail).await?;
        let put = StateChange::put(&TOKENS, &*new.name, ChangeCondition::Absent, value, Some(new.expires));
        match self.state.change(vec![put], now).await {
            Ok(_) => Ok((token, audit_id)),
            Err(StateError::Conflict) => Err(TokenError::InUse(new.name.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// The created tokens that are valid, sorted by name; no fixed ones.
    pub async fn list(&self, desk: &Desk, principal: &Principal, now: Timestamp) -> Result<Vec<TokenInfo>, TokenError> {
        desk.permit(principal, Permission::ViewTokens).await?;
        let records = self.state.records(&TOKENS, None, TOKENS_MAX, now).await?;
        let info = |record: &StateRecord| {
            let TokenRecord { role, created, created_by, owner, .. } = read(record)?;
            let expires = record.expires.unwrap_or(Timestamp::MAX);
            let person = owner.map(|owner| owner.uid);
            Ok(TokenInfo { name: record.key.clone(), role, expires, created, created_by, person })
        };
        records.iter().map(info).collect()
    }

    /// Revokes a token at once on every node. Returns the audit id. The audit record is written first, but the token is
    /// removed even when the audit is unavailable, and the error about the audit is returned afterwards: a stolen token
    /// must not stay valid because a disk is full.
    pub async fn revoke(
        &self,
        desk: &Desk,
        principal: &Principal,
        name: &str,
        now: Timestamp,
    ) -> Result<String, TokenError> {
        desk.permit(principal, Permission::ChangeTokens).await?;
        let record = self.state.record(&TOKENS, name, now).await?;
        let record = record.ok_or_else(|| TokenError::NotFound(name.to_owned()))?;
        let detail = json!({ "revoke": name });
        let audited = desk.permit_change(principal, Permission::ChangeTokens, &subject(name), detail).await;
        let remove = StateChange::remove(&TOKENS, record.key, ChangeCondition::Any);
        self.state.change(vec![remove], now).await?;
        Ok(audited?)
    }
}

/// The person to whom a new token is to belong, who must be able to use it.
async fn owner_of(
    desk: &Desk,
    principal: &Principal,
    new: &NewToken,
    now: Timestamp,
) -> Result<Option<TokenOwner>, TokenError> {
    let Some(key) = &new.person else { return Ok(None) };
    let PersonDetail { summary, entry_uuid, .. } = desk.person(principal, key).await?;
    match desk.roles_of_token_owner(entry_uuid, now).await? {
        Some(roles) if new.role.is_held_by(roles.iter().map(String::as_str)) => {
            Ok(Some(TokenOwner { entry_uuid, uid: summary.uid }))
        }
        Some(_) => Err(TokenError::Invalid(format!("{} does not have the role {}", summary.uid, new.role))),
        None => Err(TokenError::Invalid(format!("{} may not log in", summary.uid))),
    }
}

fn subject(name: &str) -> String {
    format!("token:{name}")
}

/// Whether a name has 1 to [`NAME_OCTETS_MAX`] lower-case letters, digits, `-` and `_`. It is part of the token, before
/// the dot, and of the audit.
fn is_name(name: &str) -> bool {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    !name.is_empty() && name.len() <= NAME_OCTETS_MAX && name.bytes().all(good)
}

fn check_new(new: &NewToken, now: Timestamp) -> Result<(), TokenError> {
    if !is_name(&new.name) {
        let rule = format!("the name of a token has 1 to {NAME_OCTETS_MAX} of a-z, 0-9, '-' and '_'");
        return Err(TokenError::Invalid(rule));
    }
    let life = new.expires.duration_since(now);
    if life <= SignedDuration::ZERO || life > SignedDuration::from_hours(24 * TOKEN_DAYS_MAX) {
        return Err(TokenError::Invalid(format!(
            "the expiry of a token must lie within the next {TOKEN_DAYS_MAX} days"
        )));
    }
    Ok(())
}

fn read(record: &StateRecord) -> Result<TokenRecord, StateError> {
    serde_json::from_slice(&record.value).map_err(|error| StateError::Damaged(format!("token {}: {error}", record.key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fixed_token_expires() {
        let end: Timestamp = "2027-09-01T00:00:00Z".parse().unwrap();
        let digest = blake3::hash(b"secret");
        let fixed = FixedToken { name: "node".into(), digest, role: Role::Auditor, expires: Some(end) };
        let tokens = Tokens::new(Arc::new(provost_store::MemoryState::default()), vec![fixed]);
        let before = end - SignedDuration::from_secs(1);
        assert!(tokens.find("secret", before).await.unwrap().is_some());
        assert!(tokens.find("secret", end).await.unwrap().is_none());
    }

    #[test]
    fn name_and_expiry_of_a_new_token_are_checked() {
        let now: Timestamp = "2026-09-01T00:00:00Z".parse().unwrap();
        let check = |name: &str, expires: &str| {
            check_new(
                &NewToken { name: name.into(), role: Role::Auditor, expires: expires.parse().unwrap(), person: None },
                now,
            )
            .is_ok()
        };
        assert!(check("ticket-system_2", "2027-09-01T00:00:00Z"));
        for name in ["", "a.b", "A", "é", "a b", &"x".repeat(65)] {
            assert!(!check(name, "2027-09-01T00:00:00Z"), "{name}");
        }
        for end in ["2026-09-01T00:00:00Z", "2026-08-31T00:00:00Z", "2029-09-01T00:00:00Z"] {
            assert!(!check("a", end), "{end}");
        }
    }
}
