//! Sets passwords of people. Every change of a password in the pages, REST and the command line goes through here: it
//! checks the site's rules and writes the hash, the SCRAM verifier, the history and the state together.

use jiff::Timestamp;
use provost_credential::{AboutPerson, FormerPasswords, PasswordPolicy, PasswordRule, PasswordValues, Secret};
use provost_entry::time::format_generalized;
use provost_entry::{AttributeDescription, Entry, Modification};
use provost_lifecycle::AccountState;
use provost_schema::attr;
use rand::Rng;
use serde_json::json;

use super::{ChangeTarget, CurrentPerson, Desk, DeskError};
use crate::source::check_password;
use crate::{Permission, Principal};

/// Lower-case letters and digits without those that look alike on paper (l and 1, o and 0): 32 of them, 5 bits each.
const READABLE: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Groups of a generated password, of [`GROUP_CHARS`] each: 80 bits in all.
const GROUPS: usize = 4;
/// Characters of one group.
const GROUP_CHARS: usize = 4;

/// A password that was set.
pub struct StoredPassword {
    /// The password itself.
    pub password: Secret,
    /// The stored value of userPassword, which has replaced all others of the person.
    pub hash: String,
    /// Id of the audit record.
    pub audit_id: String,
}

/// Who has chosen a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChosenBy {
    /// The person themself, whose password stays.
    Oneself,
    /// Somebody else: the site may want the person to replace it.
    Another,
}

impl Desk {
    /// Sets `password`, or a generated one when it is `None`. The password is returned only here.
    ///
    /// A password that another person sets must be changed, unless the site decides otherwise. One's own password ends
    /// that state, must differ from the earlier ones, and activates an invited account.
    pub async fn reset_password(
        &self,
        principal: &Principal,
        target: impl Into<ChangeTarget<'_>>,
        password: Option<Secret>,
    ) -> Result<StoredPassword, DeskError> {
        let person = self.target(principal, Permission::ResetPassword, &target.into()).await?;
        let (by, action) = if principal.is_person(person.entry_uuid()) {
            (ChosenBy::Oneself, "password.change")
        } else {
            (ChosenBy::Another, "password.reset")
        };
        let generated = password.is_none();
        let password = password.unwrap_or_else(|| generate(&mut rand::rng(), GROUPS));
        let (values, changes) = self.password_changes(&person, &password, by, Timestamp::now()).await?;
        let detail = json!({ "generated": generated, "had_one": has_password(&person.entry) });
        let audit_id = self.change(principal.actor(), action, &person, changes, detail).await?;
        Ok(StoredPassword { password, hash: values.user_password, audit_id })
    }

    /// Checks and hashes a new password; returns it with the changes of the person's entry.
    pub(super) async fn password_changes(
        &self,
        person: &CurrentPerson,
        password: &Secret,
        by: ChosenBy,
        now: Timestamp,
    ) -> Result<(PasswordValues, Vec<Modification>), DeskError> {
        let settings = self.settings.get();
        let must_change = by == ChosenBy::Another && settings.passwords.must_change_initial;
        let work = PasswordToSet {
            password: password.clone(),
            policy: settings.passwords,
            words: words_about(&person.entry, &settings.domain),
            birth_date: person.entry.first(attr::SCHAC_DATE_OF_BIRTH).map(str::to_owned),
            former: former(&person.entry),
            must_change,
            now: format_generalized(now),
        };
        let checked = tokio::task::spawn_blocking(move || work.values()).await;
        let checked =
            checked.map_err(|error| DeskError::Unavailable(format!("the password was not hashed: {error}")))?;
        let (values, attributes) = checked.map_err(|rule| DeskError::Invalid { field: "password", rule })?;
        let replace = |name: &'static str, values: Vec<String>| {
            let values = values.into_iter().map(String::into_bytes).collect();
            Modification::replace(AttributeDescription::of(name), values)
        };
        let mut changes: Vec<Modification> =
            attributes.into_iter().map(|(name, values)| replace(name, values)).collect();
        if by == ChosenBy::Oneself && is_invited(&person.entry) {
            changes.push(replace(attr::PROVOST_STATE, vec![AccountState::Active.to_string()]));
            changes.push(replace(attr::PROVOST_STATE_SINCE, vec![format_generalized(now)]));
        }
        Ok((values, changes))
    }

    /// The attributes of a password for a new entry, whose person has chosen it.
    pub(super) async fn first_password(
        &self,
        password: Secret,
        now: Timestamp,
    ) -> Result<Vec<(&'static str, String)>, DeskError> {
        check_password(password.reveal())
            .map_err(|rule| DeskError::Invalid { field: "password", rule: rule.to_owned() })?;
        let policy = self.settings.get().passwords;
        let hashed = tokio::task::spawn_blocking(move || policy.hash(&password)).await;
        let values = hashed.map_err(|error| DeskError::Unavailable(format!("the password was not hashed: {error}")))?;
        Ok(values.of_new_entry(false, &format_generalized(now)))
    }
}

/// The work of one change that takes a core for a while.
struct PasswordToSet {
    password: Secret,
    policy: PasswordPolicy,
    words: Vec<String>,
    birth_date: Option<String>,
    former: FormerPasswords,
    must_change: bool,
    now: String,
}

/// The values of a new password, and all values of each attribute that the change replaces.
type CheckedPassword = (PasswordValues, Vec<(&'static str, Vec<String>)>);

impl PasswordToSet {
    /// The error is the broken rule.
    fn values(self) -> Result<CheckedPassword, String> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let about = AboutPerson { words: &words, birth_date: self.birth_date.as_deref() };
        let in_words = |rule: PasswordRule| rule.to_string();
        self.policy.check(&self.password, about).map_err(in_words)?;
        check_password(self.password.reveal())?;
        // A password that must be changed is not there to stay: the history concerns the one that follows.
        if !self.must_change {
            self.former.check(&self.password, &self.policy).map_err(in_words)?;
        }
        let values = self.policy.hash(&self.password);
        let attributes = values.replacing(&self.former, &self.policy, self.must_change, &self.now);
        Ok((values, attributes))
    }
}

/// Names and logins of a person, and names of the site.
fn words_about(entry: &Entry, domain: &str) -> Vec<String> {
    let names = [
        attr::UID,
        attr::CN,
        attr::SN,
        attr::GIVEN_NAME,
        attr::DISPLAY_NAME,
        attr::PROVOST_CHOSEN_NAME,
        attr::MAIL,
        attr::EMPLOYEE_NUMBER,
    ];
    let of_person = names.into_iter().flat_map(|name| entry.texts(name)).map(str::to_owned);
    of_person.chain([domain.to_owned()]).collect()
}

fn former(entry: &Entry) -> FormerPasswords {
    let values = |name| entry.values(name).iter().map(Vec::as_slice);
    FormerPasswords::new(values(attr::USER_PASSWORD), values(attr::PROVOST_PASSWORD_HISTORY))
}

pub(super) fn has_password(entry: &Entry) -> bool {
    !entry.values(attr::USER_PASSWORD).is_empty()
}

fn is_invited(entry: &Entry) -> bool {
    let invited = AccountState::Invited.to_string();
    entry.first(attr::PROVOST_STATE).is_some_and(|state| state.eq_ignore_ascii_case(&invited))
}

/// Generates a code of this many groups.
pub(crate) fn generate_code(groups: usize) -> Secret {
    generate(&mut rand::rng(), groups)
}

/// Generates a password or code such as `xk4m-29ab-cdef-7hij`: 20 bits for each group.
fn generate(random: &mut (impl Rng + rand::CryptoRng), groups: usize) -> Secret {
    let mut text = String::with_capacity(groups * (GROUP_CHARS + 1));
    for place in 0..groups * GROUP_CHARS {
        if place > 0 && place % GROUP_CHARS == 0 {
            text.push('-');
        }
        let letter = READABLE.get(random.random_range(0..READABLE.len())).copied().unwrap_or(b'x');
        text.push(char::from(letter));
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_are_readable_and_differ() {
        let mut random = rand::rng();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let password = generate(&mut random, GROUPS);
            let text = password.reveal().to_owned();
            assert_eq!((text.len(), text.matches('-').count()), (19, 3));
            assert!(check_password(&text).is_ok() && !text.contains(['l', 'o', '0', '1', 'I', 'O']));
            assert!(seen.insert(text));
        }
        assert_eq!(READABLE.iter().collect::<std::collections::HashSet<_>>().len(), 32);
    }
}
