//! One phase of the lifecycle after the last affiliation has ended.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::days::days_after;
use crate::terms::Terms;

/// Longest phase, days: about a hundred years.
const DAYS_MAX: u32 = 36_500;
/// Longest phase, terms.
const TERMS_COUNT_MAX: u16 = 400;
/// Longest name of a quota class, octets: provostQuotaClass has 64 characters.
const QUOTA_CLASS_OCTETS_MAX: usize = 64;

/// The state of an account in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhaseState {
    /// The affiliation stands.
    Active,
    /// The last affiliation has ended, and the person is given time to leave.
    Grace,
    /// A former student, who keeps what the phase allows.
    Alumni,
    /// The last phase before the account is closed.
    Closing,
    /// No login and no mail. The mailbox and the addresses are kept.
    Closed,
}

impl PhaseState {
    const ALL: [Self; 5] = [Self::Active, Self::Grace, Self::Alumni, Self::Closing, Self::Closed];

    /// The state as provostState spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Grace => "grace",
            Self::Alumni => "alumni",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl fmt::Display for PhaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happens to mail that arrives in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// It is delivered to the mailbox.
    Mailbox,
    /// It is only forwarded.
    Forward,
    /// It is refused.
    Refuse,
}

/// How long a phase lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseLength {
    /// This many days after the beginning, at the same time of day.
    Days(u32),
    /// Until this many whole terms have passed.
    Terms(u16),
    /// Without end.
    Forever,
}

/// One phase: the state, its length, and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The state of the account.
    pub state: PhaseState,
    /// How long the phase lasts.
    pub length: PhaseLength,
    /// Days without a login after which the phase ends early; `None`: never.
    pub inactive_days: Option<u32>,
    /// Whether login is allowed.
    pub login: bool,
    /// Whether the person may send.
    pub send: bool,
    /// Whether the person may change their mail, and not only read it.
    pub write: bool,
    /// What happens to mail that arrives.
    pub receive: Receiving,
    /// Quota class in this phase; `None` keeps that of the affiliation.
    pub quota: Option<String>,
}

impl Phase {
    /// A phase with everything that its state allows unless a policy says otherwise.
    pub(crate) fn new(state: PhaseState, length: PhaseLength) -> Self {
        let is_open = !matches!(state, PhaseState::Closing | PhaseState::Closed);
        Self {
            state,
            length,
            inactive_days: None,
            login: state != PhaseState::Closed,
            send: is_open,
            write: true,
            receive: if is_open { Receiving::Mailbox } else { Receiving::Refuse },
            quota: None,
        }
    }

    /// Reads `STATE LENGTH OPTION...`, as in `alumni forever receive=forward`; the error is the broken rule.
    pub(crate) fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let name = words.next().unwrap_or_default();
        let state = PhaseState::parse(name)
            .ok_or_else(|| format!("'{name}' is not a state: write grace, alumni, closing or closed"))?;
        let length = words.next().unwrap_or_default();
        let length = parse_length(length)
            .ok_or_else(|| format!("'{length}' is not a length: write days=90, terms=6 or forever"))?;
        let mut phase = Self::new(state, length);
        for option in words {
            phase.take(option)?;
        }
        if phase.state == PhaseState::Closed && (phase.login || phase.send || phase.receive != Receiving::Refuse) {
            return Err("a closed account has no login and receives no mail; use closing".to_owned());
        }
        Ok(phase)
    }

    /// Takes one option, `KEY=VALUE`.
    pub(crate) fn take(&mut self, option: &str) -> Result<(), String> {
        let (key, value) = option.split_once('=').ok_or_else(|| format!("'{option}' is not KEY=VALUE"))?;
        let unknown = || format!("'{value}' is no value of {key}");
        match key {
            "login" => self.login = yes_or_no(value).ok_or_else(unknown)?,
            "send" => self.send = yes_or_no(value).ok_or_else(unknown)?,
            "write" => self.write = yes_or_no(value).ok_or_else(unknown)?,
            "receive" => {
                self.receive = match value {
                    "mailbox" => Receiving::Mailbox,
                    "forward" => Receiving::Forward,
                    "no" => Receiving::Refuse,
                    _ => return Err(unknown()),
                }
            }
            "inactive" => self.inactive_days = Some(whole(value, DAYS_MAX).ok_or_else(unknown)?),
            "quota" => {
                let is_word = value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
                if value.is_empty() || value.len() > QUOTA_CLASS_OCTETS_MAX || !is_word {
                    return Err(unknown());
                }
                self.quota = Some(value.to_owned());
            }
            _ => return Err(format!("'{key}' is none of login, send, write, receive, inactive, quota")),
        }
        Ok(())
    }

    /// The end of the phase when it began at `from`; `None` when it has none, or none that can be represented.
    ///
    /// `last_login` counts where the phase ends by inactivity: a login defers the end, the beginning of the phase counts
    /// as a login.
    pub fn end(
        &self,
        from: Timestamp,
        last_login: Option<Timestamp>,
        terms: Option<&Terms>,
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        let by_length = match self.length {
            PhaseLength::Days(days) => days_after(from, days, zone),
            PhaseLength::Terms(count) => terms.and_then(|terms| terms.end_of(count, from, zone)),
            PhaseLength::Forever => None,
        };
        let seen = last_login.map_or(from, |login| login.max(from));
        let by_inactivity = self.inactive_days.and_then(|days| days_after(seen, days, zone));
        by_length.into_iter().chain(by_inactivity).min()
    }

    /// The values of provostRestriction in this phase.
    pub fn restrictions(&self) -> Vec<&'static str> {
        let mut restrictions = Vec::new();
        if !self.login {
            restrictions.push("no-login");
        }
        if !self.send {
            restrictions.push("no-send");
        }
        if !self.write {
            restrictions.push("read-only");
        }
        match self.receive {
            Receiving::Mailbox => {}
            Receiving::Forward => restrictions.push("forward-only"),
            Receiving::Refuse => restrictions.push("no-receive"),
        }
        restrictions
    }
}

fn parse_length(text: &str) -> Option<PhaseLength> {
    if text == "forever" {
        return Some(PhaseLength::Forever);
    }
    match text.split_once('=')? {
        ("days", days) => whole(days, DAYS_MAX).map(PhaseLength::Days),
        ("terms", terms) => {
            whole(terms, TERMS_COUNT_MAX.into()).and_then(|terms| u16::try_from(terms).ok()).map(PhaseLength::Terms)
        }
        _ => None,
    }
}

fn whole(text: &str, most: u32) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && (1..=most).contains(number))
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Phase, String> {
        Phase::parse(text.split_whitespace())
    }

    #[test]
    fn phases_have_the_rights_of_their_state_unless_stated() {
        for (text, restrictions) in [
            ("grace days=90", &[][..]),
            ("alumni forever receive=forward login=no send=no", &["no-login", "no-send", "forward-only"]),
            ("closing days=60", &["no-send", "no-receive"]),
            ("closing days=60 write=no", &["no-send", "read-only", "no-receive"]),
            ("alumni days=60 write=no receive=forward", &["read-only", "forward-only"]),
            ("closed days=365", &["no-login", "no-send", "no-receive"]),
        ] {
            assert_eq!(parse(text).unwrap().restrictions(), restrictions, "{text}");
        }
        assert_eq!(parse("alumni terms=6 quota=alum inactive=1825").unwrap().quota.as_deref(), Some("alum"));
        for bad in [
            "",
            "grace",
            "limbo days=1",
            "grace days=0",
            "grace days=36501",
            "grace weeks=2",
            "grace days=1 colour=red",
            "closed days=1 login=yes",
            "grace days=1 login=maybe",
            "grace days=1 write=never",
            "grace days=+1",
            "alumni forever quota=",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_phase_ends_at_the_same_time_of_day_and_inactivity_ends_it_early() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        let from: Timestamp = "2026-09-01T03:59:59Z".parse().unwrap();
        let login: Timestamp = "2026-10-01T12:00:00Z".parse().unwrap();
        let end = |text: &str, login| parse(text).unwrap().end(from, login, None, &zone).map(|end| end.to_string());
        assert_eq!(end("grace days=90", None).as_deref(), Some("2026-11-30T04:59:59Z"), "clocks went back in between");
        assert_eq!(end("alumni forever", None), None);
        assert_eq!(end("alumni forever inactive=10", None).as_deref(), Some("2026-09-11T03:59:59Z"));
        assert_eq!(end("alumni forever inactive=10", Some(login)).as_deref(), Some("2026-10-11T12:00:00Z"));
        assert_eq!(end("grace days=20 inactive=10", Some(login)).as_deref(), Some("2026-09-21T03:59:59Z"));
    }
}
