//! The addresses in a header field (RFC 5322 §3.4), for tests and for the vacation rule.

/// Addresses read from one field; more are as if they were not there.
pub(crate) const FIELD_ADDRESSES_MAX: usize = 1000;
/// Deepest comment within comments.
const COMMENT_NESTING_MAX: usize = 16;

/// One mailbox of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    /// Unquoted.
    pub(crate) local: String,
    /// Empty when there is no `@`.
    pub(crate) domain: String,
}

impl Mailbox {
    /// `local@domain`.
    pub(crate) fn all(&self) -> String {
        if self.domain.is_empty() { self.local.clone() } else { format!("{}@{}", self.local, self.domain) }
    }
}

/// The mailboxes of an address list, groups opened. What cannot be read is passed over, up to the next comma.
pub(crate) fn mailboxes(value: &str) -> Vec<Mailbox> {
    let mut reader = Reader::default();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if reader.found.len() >= FIELD_ADDRESSES_MAX {
            break;
        }
        match c {
            '(' => skip_comment(&mut chars),
            '"' => reader.quoted(&mut chars),
            '<' => reader.open_angle(),
            '>' => reader.close_angle(),
            ',' | ';' if !reader.in_angle => reader.end(),
            // The display name of a group ends; a route before an addr-spec (obsolete) ends, too.
            ':' => reader.clear(),
            // The last one outside quotes parts local part and domain.
            '@' => reader.at = Some(reader.text.len()),
            c if c.is_whitespace() => {}
            c => reader.text.push(c),
        }
    }
    reader.end();
    reader.found
}

#[derive(Default)]
struct Reader {
    found: Vec<Mailbox>,
    /// Local part and domain without the `@`.
    text: String,
    /// Where the domain begins in `text`.
    at: Option<usize>,
    in_angle: bool,
    /// What an angle-addr held: it wins over what stands around it.
    angle: Option<Mailbox>,
}

impl Reader {
    fn clear(&mut self) {
        self.text.clear();
        self.at = None;
    }

    fn quoted(&mut self, chars: &mut std::str::Chars<'_>) {
        while let Some(c) = chars.next() {
            match c {
                '"' => return,
                '\\' => self.text.extend(chars.next()),
                c => self.text.push(c),
            }
        }
    }

    fn open_angle(&mut self) {
        self.clear();
        self.in_angle = true;
    }

    fn close_angle(&mut self) {
        self.angle = self.take();
        self.in_angle = false;
    }

    fn take(&mut self) -> Option<Mailbox> {
        let (local, domain) = match self.at {
            Some(at) => self.text.split_at_checked(at)?,
            None => (self.text.as_str(), ""),
        };
        let mailbox = Mailbox { local: local.into(), domain: domain.into() };
        self.clear();
        (!mailbox.local.is_empty()).then_some(mailbox)
    }

    fn end(&mut self) {
        let plain = self.take();
        self.found.extend(self.angle.take().or(plain));
        self.in_angle = false;
    }
}

fn skip_comment(chars: &mut std::str::Chars<'_>) {
    let mut depth = 1;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '(' if depth < COMMENT_NESTING_MAX => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 5322 §3.4 and appendix A.1.
    #[test]
    fn reads_address_lists() {
        for (value, expected) in [
            ("", &[][..]),
            ("jdoe@one.test", &["jdoe@one.test"]),
            (
                "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
                &["mary@x.test", "jdoe@example.org", "one@y.test"],
            ),
            (
                "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
                &["boss@nil.test", "sysservices@example.net"],
            ),
            ("A Group:Ed Jones <joe@where.test>,john@one.test;, x@y", &["joe@where.test", "john@one.test", "x@y"]),
            ("Undisclosed recipients:;", &[]),
            ("Pete(A nice (nested \\) ) chap) <pete(his account)@silly.test(his host)>", &["pete@silly.test"]),
            ("\"a@b, c\"@example.org", &["a@b, c@example.org"]),
            ("\"x@y\" <real@z>", &["real@z"]),
            ("<@route.test:user@host>", &["user@host"]),
            ("<>", &[]),
            ("postmaster", &["postmaster"]),
            ("a <b@c", &["b@c"]),
            ("(open", &[]),
        ] {
            let got: Vec<_> = mailboxes(value).iter().map(Mailbox::all).collect();
            assert_eq!(got, expected, "{value:?}");
        }
    }

    #[test]
    fn is_bounded() {
        assert_eq!(mailboxes(&"a@b,".repeat(5000)).len(), FIELD_ADDRESSES_MAX);
    }

    proptest! {
        #[test]
        fn random_values_never_panic(value in "[a@<>(),;:\"\\\\ é]{0,60}") {
            let _ = mailboxes(&value);
        }
    }
}
