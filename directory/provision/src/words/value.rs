//! One value in words.

use std::fmt::Write as _;

use jiff::Timestamp;
use provost_entry::Dn;
use provost_entry::time::parse_generalized;

use super::table::{ADDRESS_KINDS, AFFILIATIONS, LANGUAGES, RESTRICTIONS, STATES, ValueForm, ValueWords};
use super::{Words, form};

/// Most characters of a value that are shown; the rest of a longer one, such as the text of a vacation reply, is left
/// out.
const VALUE_CHARS_MAX: usize = 200;

impl Words {
    /// One value of an attribute. A value that does not have the attribute's form is shown as it is.
    pub fn value(&self, attribute: &str, value: &str) -> String {
        let shown = match form(attribute) {
            ValueForm::Text => None,
            ValueForm::Day => parse_generalized(value).map(|time| self.day(time)),
            ValueForm::Moment => parse_generalized(value).map(|time| self.moment(time)),
            ValueForm::CivilDate => civil_date(value),
            ValueForm::Octets => value.parse().ok().map(|octets| self.octets(octets)),
            ValueForm::State => self.known(STATES, value),
            ValueForm::Affiliation => self.known(AFFILIATIONS, value),
            ValueForm::AddressKind => self.known(ADDRESS_KINDS, value),
            ValueForm::Restriction => self.known(RESTRICTIONS, value),
            ValueForm::Language => self.known(LANGUAGES, value),
            ValueForm::Lock => self.lock(value),
            ValueForm::Period => self.period(value),
            ValueForm::Absence => self.absence(value),
            ValueForm::Origin => self.origin(value),
            ValueForm::Extension => self.extension(value),
            ValueForm::Notice => self.notice(value),
            ValueForm::Name => Dn::parse(value).ok().and_then(|dn| Some(dn.rdn()?.pairs().next()?.1.to_owned())),
            ValueForm::Secret => Some(self.say("set", "défini").to_owned()),
        };
        shortened(&shown.unwrap_or_else(|| value.to_owned()))
    }

    /// Several values of an attribute; the word for none when there is none.
    pub(crate) fn values<S: AsRef<str>>(&self, attribute: &str, values: &[S]) -> String {
        if values.is_empty() {
            return self.say("none", "aucun").to_owned();
        }
        values.iter().map(|value| self.value(attribute, value.as_ref())).collect::<Vec<_>>().join(", ")
    }

    /// A state in words.
    pub(crate) fn state(&self, state: &str) -> String {
        self.known(STATES, state).unwrap_or_else(|| state.to_owned())
    }

    /// The day of a time: `2026-05-31`.
    pub(crate) fn day(&self, time: Timestamp) -> String {
        self.zone.to_datetime(time).date().to_string()
    }

    /// Day and time: `2026-05-31 09:30`.
    pub(crate) fn moment(&self, time: Timestamp) -> String {
        time.to_zoned_datetime(self.zone.clone()).strftime("%F %H:%M").to_string()
    }

    fn known(&self, words: ValueWords, value: &str) -> Option<String> {
        let (_, english, french) = words.iter().find(|(known, ..)| known.eq_ignore_ascii_case(value))?;
        Some(self.say(english, french).to_owned())
    }

    fn octets(&self, octets: u64) -> String {
        const UNITS: [(u64, &str, &str); 3] =
            [(1_000_000_000, "GB", "Go"), (1_000_000, "MB", "Mo"), (1_000, "kB", "ko")];
        let exact = UNITS.iter().find(|(unit, ..)| octets >= *unit && octets.is_multiple_of(*unit));
        match exact {
            Some((unit, english, french)) => format!("{} {}", octets / unit, self.say(english, french)),
            None => format!("{octets} {}", self.say("octets", "octets")),
        }
    }

    /// `since A until B`, as far as the times are stated.
    fn span(&self, since: &str, until: &str) -> String {
        let mut text = String::new();
        if let Some(time) = parse_generalized(since) {
            let _ = write!(text, " {} {}", self.say("since", "depuis le"), self.day(time));
        }
        if let Some(time) = parse_generalized(until) {
            let _ = write!(text, " {} {}", self.say("until", "jusqu’au"), self.day(time));
        }
        text
    }

    fn lock(&self, value: &str) -> Option<String> {
        let [name, since, until, owner, reason] = words_of(value)?;
        Some(format!("{name}{}, {} {owner}: {reason}", self.span(since, until), self.say("by", "par")))
    }

    fn period(&self, value: &str) -> Option<String> {
        let mut words = value.trim().splitn(5, ' ');
        let (source, word) = (words.next()?, words.next()?);
        let (start, end) = (words.next().unwrap_or("-"), words.next().unwrap_or("-"));
        let word = self.known(AFFILIATIONS, word).unwrap_or_else(|| word.to_owned());
        let program = words.next().map(|program| format!(", {program}")).unwrap_or_default();
        Some(format!("{word} ({source}){}{program}", self.span(start, end)))
    }

    fn absence(&self, value: &str) -> Option<String> {
        let mut words = value.trim().splitn(4, ' ');
        let (source, count, since) = (words.next()?, words.next()?, words.next()?);
        let text = self.say("missing from files of", "absent des fichiers de");
        Some(format!("{text} {source} ({count}){}", self.span(since, "-")))
    }

    fn origin(&self, value: &str) -> Option<String> {
        let mut words = value.trim().splitn(4, ' ');
        let (attribute, since, until, actor) = (words.next()?, words.next()?, words.next()?, words.next()?);
        Some(format!("{}{} {} {actor}", self.attribute(attribute), self.span(since, until), self.say("by", "par")))
    }

    fn extension(&self, value: &str) -> Option<String> {
        let mut words = value.trim().splitn(4, ' ');
        let (_, until, approver) = (words.next()?, parse_generalized(words.next()?)?, words.next()?);
        let reason = words.next().map(|reason| format!(": {reason}")).unwrap_or_default();
        Some(format!("{} {} {approver}{reason}", self.day(until), self.say("by", "par")))
    }

    fn notice(&self, value: &str) -> Option<String> {
        let mut words = value.trim().splitn(3, ' ');
        let (event, days, at) = (words.next()?, words.next()?, parse_generalized(words.next()?)?);
        Some(format!("{event}, {days} {}, {}", self.say("days before", "jours avant"), self.day(at)))
    }
}

/// The five words of a lock; the last one is the rest.
fn words_of(value: &str) -> Option<[&str; 5]> {
    let mut words = value.trim().splitn(5, ' ');
    Some([words.next()?, words.next()?, words.next()?, words.next()?, words.next().unwrap_or("-")])
}

fn civil_date(value: &str) -> Option<String> {
    let is_date = value.len() == 8 && value.bytes().all(|octet| octet.is_ascii_digit());
    is_date.then(|| format!("{}-{}-{}", &value[..4], &value[4..6], &value[6..]))
}

/// A value on one line, at most [`VALUE_CHARS_MAX`] characters.
fn shortened(value: &str) -> String {
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= VALUE_CHARS_MAX {
        return line;
    }
    line.chars().take(VALUE_CHARS_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::words::Language;

    #[test]
    fn each_form_is_written_in_both_languages() {
        let words = |language| Words::new(language, TimeZone::get("America/Toronto").unwrap());
        let (english, french) = (words(Language::English), words(Language::French));
        for (attribute, value, expect, expect_french) in [
            ("sn", "Roy", "Roy", "Roy"),
            ("provostEndDate", "20260601035959Z", "2026-05-31", "2026-05-31"),
            ("provostStateSince", "20260601035959Z", "2026-05-31 23:59", "2026-05-31 23:59"),
            ("provostEndDate", "tomorrow", "tomorrow", "tomorrow"),
            ("schacDateOfBirth", "20010203", "2001-02-03", "2001-02-03"),
            ("mailQuota", "5000000000", "5 GB", "5 Go"),
            ("mailQuota", "5000000001", "5000000001 octets", "5000000001 octets"),
            ("provostState", "grace", "grace period", "délai de grâce"),
            ("provostState", "new-state", "new-state", "new-state"),
            ("eduPersonAffiliation", "staff", "staff", "personnel"),
            ("provostRestriction", "no-login", "no login", "pas de connexion"),
            ("userPassword", "{SSHA}x", "set", "défini"),
            ("provostOwner", "provostPersonId=7,ou=people,dc=x", "7", "7"),
            (
                "provostLock",
                "abuse 20260601120000Z - cli:helen spam from the account",
                "abuse since 2026-06-01, by cli:helen: spam from the account",
                "abuse depuis le 2026-06-01, par cli:helen: spam from the account",
            ),
            (
                "provostAffiliation",
                "registrar student - 20270601035959Z B-MUS",
                "student (registrar) until 2027-05-31, B-MUS",
                "étudiant (registrar) jusqu’au 2027-05-31, B-MUS",
            ),
            (
                "provostAbsence",
                "registrar 1 20260601120000Z af13",
                "missing from files of registrar (1) since 2026-06-01",
                "absent des fichiers de registrar (1) depuis le 2026-06-01",
            ),
            (
                "provostOrigin",
                "mailQuota 20260601120000Z - cli:helen",
                "quota since 2026-06-01 by cli:helen",
                "quota depuis le 2026-06-01 par cli:helen",
            ),
        ] {
            assert_eq!(english.value(attribute, value), expect, "{attribute}");
            assert_eq!(french.value(attribute, value), expect_french, "{attribute}");
        }
        assert_eq!(english.value("mailAutoReplyText", "a\nb"), "a b");
        assert_eq!(english.value("sn", &"é".repeat(300)).chars().count(), 201);
    }

    proptest::proptest! {
        #[test]
        fn no_value_causes_a_panic(value in ".{0,60}", row in 0..super::super::ROWS.len()) {
            let words = Words::new(Language::French, TimeZone::UTC);
            let _ = words.value(super::super::ROWS[row].attribute, &value);
        }
    }
}
