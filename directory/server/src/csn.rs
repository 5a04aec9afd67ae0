//! Change sequence numbers as OpenLDAP writes them, and sync cookies made of them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

/// Longest cookie that is read.
const COOKIE_OCTETS_MAX: usize = 4096;

/// `20261123194500.123456Z#000000#001#000000`: time, count within it, server id, modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Csn {
    /// Microseconds since 1970.
    pub(crate) micros: i64,
    /// Tells changes of one microsecond apart.
    pub(crate) count: u32,
    /// Which server made it.
    pub(crate) server: u16,
}

impl Csn {
    /// Reads the text form; the modification number is not kept, as nothing writes it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('#');
        let time = parts.next()?;
        let count = u32::from_str_radix(parts.next()?, 16).ok()?;
        let server = u16::from_str_radix(parts.next()?, 16).ok()?;
        u32::from_str_radix(parts.next()?, 16).ok()?;
        let (seconds, fraction) = time.strip_suffix('Z')?.split_once('.')?;
        if parts.next().is_some() || fraction.len() != 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let whole = provost_entry::time::parse_generalized(&format!("{seconds}Z"))?;
        Some(Self { micros: whole.as_microsecond() + fraction.parse::<i64>().ok()?, count, server })
    }

    /// When the change was made.
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

/// The newest change of each server: contextCSN, and the state that a cookie holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context(BTreeMap<u16, Csn>);

impl Context {
    /// Takes a change into account.
    pub(crate) fn advance(&mut self, csn: Csn) {
        let newest = self.0.entry(csn.server).or_insert(csn);
        *newest = (*newest).max(csn);
    }

    /// Whether the change is part of this state.
    pub(crate) fn covers(&self, csn: Csn) -> bool {
        self.0.get(&csn.server).is_some_and(|newest| csn <= *newest)
    }

    /// Whether every change of `other` is part of this state.
    pub(crate) fn covers_all(&self, other: &Self) -> bool {
        other.0.values().all(|csn| self.covers(*csn))
    }

    /// The newest change of this server.
    pub(crate) fn of(&self, server: u16) -> Option<Csn> {
        self.0.get(&server).copied()
    }

    /// All of them, by server id.
    pub(crate) fn csns(&self) -> impl Iterator<Item = Csn> {
        self.0.values().copied()
    }

    /// `rid=000,csn=...;...`, as OpenLDAP's syncprov writes it.
    pub(crate) fn cookie(&self) -> Vec<u8> {
        let csns: Vec<String> = self.csns().map(|csn| csn.to_string()).collect();
        format!("rid=000,csn={}", csns.join(";")).into_bytes()
    }

    /// Reads a cookie; `None` when it is none of this kind.
    pub(crate) fn parse_cookie(cookie: &[u8]) -> Option<Self> {
        if cookie.len() > COOKIE_OCTETS_MAX {
            return None;
        }
        let text = std::str::from_utf8(cookie).ok()?;
        let list = text.split(',').find_map(|part| part.strip_prefix("csn="))?;
        let mut context = Self::default();
        for csn in list.split(';') {
            context.advance(Csn::parse(csn)?);
        }
        Some(context)
    }
}

/// Gives out ascending CSNs, whatever the clock does.
#[derive(Debug)]
pub(crate) struct Sequence {
    server: u16,
    last: Option<Csn>,
}

impl Sequence {
    /// For this server id, after `last`.
    pub(crate) fn new(server: u16, last: Option<Csn>) -> Self {
        Self { server, last }
    }

    /// The next one at this time.
    pub(crate) fn next(&mut self, now: Timestamp) -> Csn {
        let fresh = Csn { micros: now.as_microsecond(), count: 0, server: self.server };
        let csn = match self.last {
            // A clock that was set back, or two changes in a microsecond.
            Some(last) if fresh <= last => Csn { count: last.count + 1, ..last },
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
    fn text_form() {
        assert_eq!(Csn::parse(TEXT).unwrap().to_string(), TEXT);
        for bad in
            ["", "20261123194500Z#000000#001#000000", "20261123194500.1Z#0#1#0", &TEXT[1..], &format!("{TEXT}#0")]
        {
            assert_eq!(Csn::parse(bad), None, "{bad}");
        }
    }

    // RFC 4533 §2.1.2: a cookie is what the provider needs to go on from there.
    #[test]
    fn cookies() {
        let other = TEXT.replace("#001#", "#002#");
        let cookie = format!("rid=000,csn={TEXT};{other}");
        let context = Context::parse_cookie(cookie.as_bytes()).unwrap();
        assert_eq!(context.cookie(), cookie.as_bytes());
        let alone = Context::parse_cookie(format!("rid=001,sid=002,csn={TEXT}").as_bytes()).unwrap();
        assert!(context.covers_all(&alone) && !alone.covers_all(&context));
        for bad in [&b""[..], b"csn=", b"rid=000", b"rid=000,csn=\xff", b"rid=000,csn=x"] {
            assert_eq!(Context::parse_cookie(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_clock_set_back_does_not_matter() {
        let mut sequence = Sequence::new(1, None);
        let now = Timestamp::from_second(1_000_000).unwrap();
        let first = sequence.next(now);
        let second = sequence.next(now);
        let third = sequence.next(Timestamp::from_second(1).unwrap());
        assert!(first < second && second < third);
        assert_eq!(third.count, 2);
    }

    proptest! {
        #[test]
        fn any_cookie_is_read_or_refused(cookie in "(rid=000,)?(csn=)?[0-9.Z#;a-f,]{0,60}") {
            let _ = Context::parse_cookie(cookie.as_bytes());
        }
    }
}
