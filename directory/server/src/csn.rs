//! Change sequence numbers in OpenLDAP's format, and sync cookies made of them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

/// Longest cookie accepted, octets.
const COOKIE_OCTETS_MAX: usize = 4096;

/// Highest change count: the text form has six hexadecimal digits.
const COUNT_MAX: u32 = 0xff_ffff;

/// A CSN such as `20261123194500.123456Z#000000#001#000000`: time, change count, server id, modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Csn {
    /// Microseconds since 1970.
    pub(crate) micros: i64,
    /// Distinguishes changes with the same time.
    pub(crate) count: u32,
    /// Id of the server that made the change.
    pub(crate) server: u16,
}

impl Csn {
    /// Parses the text form. The modifier is dropped: servers write zero.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('#');
        let time = parts.next()?;
        let count = u32::from_str_radix(parts.next()?, 16).ok().filter(|count| *count <= COUNT_MAX)?;
        let server = u16::from_str_radix(parts.next()?, 16).ok()?;
        u32::from_str_radix(parts.next()?, 16).ok()?;
        let (seconds, fraction) = time.strip_suffix('Z')?.split_once('.')?;
        if parts.next().is_some() || fraction.len() != 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let whole = provost_entry::time::parse_generalized(&format!("{seconds}Z"))?;
        Some(Self { micros: whole.as_microsecond() + fraction.parse::<i64>().ok()?, count, server })
    }

    /// Returns the next CSN of the same server.
    fn successor(self) -> Self {
        if self.count < COUNT_MAX {
            Self { count: self.count + 1, ..self }
        } else {
            Self { micros: self.micros.saturating_add(1), count: 0, ..self }
        }
    }

    /// Returns the time of the change.
    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_microsecond(self.micros).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Csn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = self.micros.rem_euclid(1_000_000);
        write!(f, "{}.{fraction:06}Z", self.time().strftime("%Y%m%d%H%M%S"))?;
        write!(f, "#{:06x}#{:03x}#000000", self.count, self.server)
    }
}

/// The newest CSN of each server: contextCSN, and the state that a cookie holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContextCsn(BTreeMap<u16, Csn>);

impl ContextCsn {
    /// Adds a change, and all earlier ones of its server, to the state.
    pub(crate) fn advance(&mut self, csn: Csn) {
        let newest = self.0.entry(csn.server).or_insert(csn);
        *newest = (*newest).max(csn);
    }

    /// Whether the state includes the change.
    pub(crate) fn covers(&self, csn: Csn) -> bool {
        self.0.get(&csn.server).is_some_and(|newest| csn <= *newest)
    }

    /// Whether the state includes every change of `other`.
    pub(crate) fn covers_all(&self, other: &Self) -> bool {
        other.0.values().all(|csn| self.covers(*csn))
    }

    /// Returns the newest CSN of this server.
    pub(crate) fn of(&self, server: u16) -> Option<Csn> {
        self.0.get(&server).copied()
    }

    /// Returns all CSNs, by server id.
    pub(crate) fn csns(&self) -> impl Iterator<Item = Csn> {
        self.0.values().copied()
    }

    /// Writes `rid=000,csn=...;...`, as OpenLDAP's syncprov does.
    pub(crate) fn cookie(&self) -> Vec<u8> {
        let csns: Vec<String> = self.csns().map(|csn| csn.to_string()).collect();
        format!("rid=000,csn={}", csns.join(";")).into_bytes()
    }

    /// Parses a cookie from a consumer; `None` when it has another format, or more than [`COOKIE_OCTETS_MAX`] octets.
    pub(crate) fn parse_cookie(cookie: &[u8]) -> Option<Self> {
        if cookie.len() > COOKIE_OCTETS_MAX {
            return None;
        }
        Self::parse(std::str::from_utf8(cookie).ok()?)
    }

    /// Parses a state of any length, as [`ContextCsn::cookie`] writes it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let list = text.split(',').find_map(|part| part.strip_prefix("csn="))?;
        let mut context = Self::default();
        for csn in list.split(';') {
            context.advance(Csn::parse(csn)?);
        }
        Some(context)
    }
}

/// Generates CSNs that ascend even when the clock is set back.
#[derive(Debug)]
pub(crate) struct CsnSequence {
    server: u16,
    last: Option<Csn>,
}

impl CsnSequence {
    /// Starts after `last`, for this server id.
    pub(crate) fn new(server: u16, last: Option<Csn>) -> Self {
        Self { server, last }
    }

    /// Returns the next CSN at this time.
    pub(crate) fn next(&mut self, now: Timestamp) -> Csn {
        let fresh = Csn { micros: now.as_microsecond(), count: 0, server: self.server };
        let csn = match self.last {
            // The clock was set back, or two changes fall into one microsecond.
            Some(last) if fresh <= last => last.successor(),
            _ => fresh,
        };
        self.last = Some(csn);
        csn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "20261123194500.123456Z#000000#001#000000";

    #[test]
    fn the_text_form_is_parsed_or_refused() {
        assert_eq!(Csn::parse(TEXT).unwrap().to_string(), TEXT);
        for bad in
            ["", "20261123194500Z#000000#001#000000", "20261123194500.1Z#0#1#0", &TEXT[1..], &format!("{TEXT}#0")]
        {
            assert_eq!(Csn::parse(bad), None, "{bad}");
        }
    }

    // RFC 4533 §2.1.2: a cookie represents a state of the content.
    #[test]
    fn cookies_hold_the_newest_csn_of_each_server() {
        let other = TEXT.replace("#001#", "#002#");
        let cookie = format!("rid=000,csn={TEXT};{other}");
        let context = ContextCsn::parse_cookie(cookie.as_bytes()).unwrap();
        assert_eq!(context.cookie(), cookie.as_bytes());
        let alone = ContextCsn::parse_cookie(format!("rid=001,sid=002,csn={TEXT}").as_bytes()).unwrap();
        assert!(context.covers_all(&alone) && !alone.covers_all(&context));
        for bad in [&b""[..], b"csn=", b"rid=000", b"rid=000,csn=\xff", b"rid=000,csn=x"] {
            assert_eq!(ContextCsn::parse_cookie(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn csns_ascend_when_the_clock_is_set_back() {
        let mut sequence = CsnSequence::new(1, None);
        let now = Timestamp::from_second(1_000_000).unwrap();
        let first = sequence.next(now);
        let second = sequence.next(now);
        let third = sequence.next(Timestamp::from_second(1).unwrap());
        assert!(first < second && second < third);
        assert_eq!(third.count, 2);
    }

    #[test]
    fn the_highest_count_is_followed_by_the_next_microsecond() {
        assert_eq!(Csn::parse(&TEXT.replacen("#000000#", "#1000000#", 1)), None);
        let last = Csn::parse(&TEXT.replacen("#000000#", "#ffffff#", 1)).unwrap();
        let next = CsnSequence::new(1, Some(last)).next(Timestamp::UNIX_EPOCH);
        assert_eq!(next.to_string(), TEXT.replace(".123456Z", ".123457Z"));
    }

    proptest! {
        #[test]
        fn any_cookie_is_read_or_refused(cookie in "(rid=000,)?(csn=)?[0-9.Z#;a-f,]{0,60}") {
            let _ = ContextCsn::parse_cookie(cookie.as_bytes());
        }
    }
}
