//! One-time codes.

use provost_credential::Secret;
use uuid::Uuid;

use crate::desk::generate_code;

/// Groups of a code: 100 bits, so that its digest cannot be tested against guesses.
pub(crate) const CODE_GROUPS: usize = 5;
/// Characters of a code without its hyphens.
const CODE_CHARS: usize = 4 * CODE_GROUPS;
/// Characters of a UUID without hyphens.
const ID_CHARS: usize = 32;
/// Longest text that is read as a token or a code, octets.
const TEXT_OCTETS_MAX: usize = 128;

/// What a code is for: one for one use is none for another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CodeUse {
    /// To set the first password.
    Activation,
    /// To object to a change that a notice announces.
    Objection,
}

impl CodeUse {
    /// Context of the digest (BLAKE3's key derivation), which separates it from every other use of BLAKE3.
    fn context(self) -> &'static str {
        match self {
            Self::Activation => "provost activation code, version 1",
            Self::Objection => "provost objection code, version 1",
        }
    }
}

/// A code and the person to whom it was given.
#[derive(Debug)]
pub(crate) struct ActivationCode {
    person: Uuid,
    code: Secret,
}

/// Digest of a code: what the directory holds.
pub(crate) struct CodeDigest(blake3::Hash, String);

impl CodeDigest {
    pub(crate) fn as_str(&self) -> &str {
        &self.1
    }

    /// Whether the stored text is this digest; takes the same time for every text.
    pub(crate) fn matches(&self, stored: &str) -> bool {
        blake3::Hash::from_hex(stored).is_ok_and(|stored| stored == self.0)
    }
}

impl ActivationCode {
    /// A new random code.
    pub(crate) fn new(person: Uuid) -> Self {
        Self { person, code: generate_code(CODE_GROUPS) }
    }

    /// Parses what [`ActivationCode::token`] wrote; `None` for any other text.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        if token.len() > TEXT_OCTETS_MAX {
            return None;
        }
        let (id, code) = token.split_at_checked(ID_CHARS)?;
        Self::typed(Uuid::try_parse(id).ok()?, code.strip_prefix('-')?)
    }

    /// A code as a person types it from a letter: in any case, with any spaces and hyphens.
    pub(crate) fn typed(person: Uuid, text: &str) -> Option<Self> {
        if text.len() > TEXT_OCTETS_MAX {
            return None;
        }
        let kept: String =
            text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect::<String>().to_ascii_lowercase();
        let is_code = kept.len() == CODE_CHARS && kept.bytes().all(|octet| octet.is_ascii_alphanumeric());
        let groups: Vec<&str> = (0..CODE_GROUPS).filter_map(|group| kept.get(4 * group..4 * group + 4)).collect();
        is_code.then(|| Self { person, code: Secret::new(groups.join("-")) })
    }

    /// The person to whom the code was given, if it is theirs: whoever has a link can change the person in it.
    pub(crate) fn person(&self) -> Uuid {
        self.person
    }

    /// The last part of a link.
    pub(crate) fn token(&self) -> String {
        format!("{}-{}", self.person.simple(), self.code.reveal())
    }

    pub(crate) fn into_secret(self) -> Secret {
        self.code
    }

    /// The digest, which also covers the person: the code of one person is not that of another.
    pub(crate) fn digest(&self, purpose: CodeUse) -> CodeDigest {
        let mut hasher = blake3::Hasher::new_derive_key(purpose.context());
        hasher.update(self.person.as_bytes()).update(self.code.reveal().as_bytes());
        let hash = hasher.finalize();
        CodeDigest(hash, hash.to_hex().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let person = Uuid::new_v4();
        let code = ActivationCode::new(person);
        let token = code.token();
        assert!(token.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-'), "{token}");
        let read = ActivationCode::parse(&token).unwrap();
        assert_eq!((read.person(), read.token()), (person, token));
        assert!(read.digest(CodeUse::Activation).matches(code.digest(CodeUse::Activation).as_str()));
        assert!(!read.digest(CodeUse::Objection).matches(code.digest(CodeUse::Activation).as_str()));
    }

    #[test]
    fn the_code_of_a_letter_may_be_typed_in_any_form() {
        let person = Uuid::new_v4();
        let code = ActivationCode::new(person);
        let printed = code.into_secret().reveal().to_owned();
        let digest = |text: &str| {
            ActivationCode::typed(person, text).map(|code| code.digest(CodeUse::Activation).as_str().to_owned())
        };
        let expect = digest(&printed);
        assert!(expect.is_some());
        for text in
            [printed.replace('-', ""), printed.replace('-', " "), printed.to_uppercase(), format!(" {printed}\n")]
        {
            assert_eq!(digest(&text), expect, "{text:?}");
        }
        assert_ne!(
            ActivationCode::typed(Uuid::new_v4(), &printed)
                .map(|code| code.digest(CodeUse::Activation).as_str().to_owned()),
            expect
        );
    }

    #[test]
    fn no_code_is_given_twice() {
        let person = Uuid::nil();
        let tokens: std::collections::HashSet<String> =
            (0..1000).map(|_| ActivationCode::new(person).token()).collect();
        assert_eq!(tokens.len(), 1000);
    }

    #[test]
    fn other_text_is_no_token() {
        let good = ActivationCode::new(Uuid::nil()).token();
        let long = format!("{good}{}", "a".repeat(200));
        for text in
            ["", "x", &good[1..], &good[..good.len() - 1], &long, &good.replacen('-', "x", 1), "é".repeat(40).as_str()]
        {
            assert!(ActivationCode::parse(text).is_none(), "{text}");
        }
        let code = ActivationCode::new(Uuid::nil());
        assert!(
            !code.digest(CodeUse::Activation).matches("") && !code.digest(CodeUse::Activation).matches(&"0".repeat(64))
        );
        assert!(!format!("{code:?}").contains(&code.token()[33..]));
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_parsed(text in ".{0,140}") {
            let _ = ActivationCode::parse(&text);
            let _ = ActivationCode::typed(Uuid::nil(), &text);
        }
    }
}
