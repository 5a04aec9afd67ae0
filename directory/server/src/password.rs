//! Simple bind (RFC 4513 §5.1) and password modify (RFC 3062).

use jiff::Timestamp;
use provost_credential::{AboutPerson, FormerPasswords, PasswordPolicy, PasswordRule, Secret, Verification};
use provost_entry::{Dn, time};
use provost_schema::{attr, class};
use rand::Rng as _;

use crate::access::Identity;
use crate::ber::{BerReader, BerWriter, MalformedBer, SEQUENCE};
use crate::change::{existing, parse_dn};
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::message::{ModifyItem, ModifyKind, WriteOperation};
use crate::shared::ServerContext;
use crate::tree::Tree;

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
    let policy = shared.password_policy.get().map_or_else(PasswordPolicy::default, |policy| policy());
    let account = AccountPassword::read(&shared.directory.read(), &target)?;
    let request = NewPassword { password, policy, is_own: target == identity.dn, now: Timestamp::now() };
    let items = shared.hashing.run(move || request.items(account)).await?;
    let broken = |rule: PasswordRule| {
        LdapResult::new(ResultCode::ConstraintViolation, format!("the new password is refused: {rule}"))
    };
    let operation = WriteOperation::Modify { dn: target.as_str().to_owned(), items: items.map_err(broken)? };
    // The right was checked above, so the write runs with root's rights; modifiersName stays that of the requester.
    let identity = Identity::root(identity.dn.clone());
    Ok(PasswordModify { operation, identity, generated })
}

/// A new password and the rules that it must keep.
struct NewPassword {
    password: Secret,
    policy: PasswordPolicy,
    /// Whether the person sets their own password: one that another identity sets must be changed.
    is_own: bool,
    now: Timestamp,
}

/// What the rules need to know of a person's entry; `None` for entries of other kinds, which have no rules.
struct AccountPassword {
    former: FormerPasswords,
    /// Names and logins of the person, and names of the site.
    words: Vec<String>,
    birth_date: Option<String>,
}

impl AccountPassword {
    fn read(tree: &Tree, dn: &Dn) -> OperationResult<Option<Self>> {
        let place = existing(tree, dn)?;
        if !tree.has_class(place, class::PROVOST_ACCOUNT) {
            return Ok(None);
        }
        let (present, earlier) =
            (tree.values(place, attr::USER_PASSWORD), tree.values(place, attr::PROVOST_PASSWORD_HISTORY));
        let former = FormerPasswords::new(present.iter().map(Vec::as_slice), earlier.iter().map(Vec::as_slice));
        let named = [
            attr::UID,
            attr::CN,
            attr::SN,
            attr::GIVEN_NAME,
            attr::DISPLAY_NAME,
            attr::PROVOST_CHOSEN_NAME,
            attr::MAIL,
        ];
        let texts = |name| tree.values(place, name).into_iter().filter_map(|value| String::from_utf8(value).ok());
        let site = tree
            .suffix
            .rdn()
            .into_iter()
            .flat_map(|rdn| rdn.pairs().map(|(_, value)| value.to_owned()).collect::<Vec<_>>());
        let words = named.into_iter().flat_map(texts).chain(site).collect();
        Ok(Some(Self { former, words, birth_date: texts(attr::SCHAC_DATE_OF_BIRTH).next() }))
    }
}

impl NewPassword {
    /// Checks and hashes the password; returns the changes of the entry.
    fn items(&self, account: Option<AccountPassword>) -> Result<Vec<ModifyItem>, PasswordRule> {
        let item = |name: &str, values: Vec<String>| ModifyItem {
            kind: ModifyKind::Replace,
            attribute: name.to_owned(),
            values: values.into_iter().map(String::into_bytes).collect(),
        };
        let Some(account) = account else {
            return Ok(vec![item(
                attr::USER_PASSWORD,
                vec![provost_credential::hash(&self.password, self.policy.scheme)],
            )]);
        };
        let words: Vec<&str> = account.words.iter().map(String::as_str).collect();
        let about = AboutPerson { words: &words, birth_date: account.birth_date.as_deref() };
        self.policy.check(&self.password, about)?;
        let must_change = !self.is_own && self.policy.must_change_initial;
        // A password that must be changed is not there to stay: the history concerns the one that follows.
        if !must_change {
            account.former.check(&self.password, &self.policy)?;
        }
        let values = self.policy.hash(&self.password);
        let now = time::format_generalized(self.now);
        let attributes = values.replacing(&account.former, &self.policy, must_change, &now);
        Ok(attributes.into_iter().map(|(name, values)| item(name, values)).collect())
    }
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
