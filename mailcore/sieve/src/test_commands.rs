//! Compiles the test commands of a script (RFC 5228 §5, RFC 5260).

use crate::SieveError;
use crate::arguments::{Arguments, once};
use crate::date::{DatePart, zone};
use crate::matching::{Comparator, MatchType, Relation, TestMatcher};
use crate::program::{AddressPart, DateSource, EnvelopePart, Test};
use crate::require::RequiredExtensions;
use crate::syntax::Command;

/// The fields that `address` accepts: those with an address list (RFC 5228 §5.1), and those in which servers record
/// envelope addresses.
const ADDRESS_FIELDS: &[&str] = &[
    "from",
    "to",
    "cc",
    "bcc",
    "sender",
    "reply-to",
    "resent-from",
    "resent-to",
    "resent-cc",
    "resent-bcc",
    "resent-sender",
    "resent-reply-to",
    "return-path",
    "delivered-to",
    "envelope-to",
    "x-original-to",
];

/// Compiles one test.
pub(crate) fn test(command: &Command, required: &RequiredExtensions) -> Result<Test, SieveError> {
    let mut arguments = Arguments::of(command);
    match (takes_tests(command)?, command.tests.is_empty()) {
        (true, true) => return Err(arguments.error("a test is missing")),
        (false, false) => return Err(arguments.error("takes no test")),
        (true, false) | (false, true) => {}
    }
    let test = match command.name.as_str() {
        "true" => Test::Constant(true),
        "false" => Test::Constant(false),
        "not" => not(command, required)?,
        "allof" => Test::AllOf(tests(command, required)?),
        "anyof" => Test::AnyOf(tests(command, required)?),
        "exists" => Test::Exists(arguments.strings("field names")?),
        "size" => size(&mut arguments)?,
        "header" => header(&mut arguments, required, command.line)?,
        "address" => address(&mut arguments, required, command.line)?,
        "envelope" => envelope(&mut arguments, required, command.line)?,
        "date" => date(&mut arguments, required, command.line)?,
        "currentdate" => current_date(&mut arguments, required, command.line)?,
        _ => return Err(unknown(command)),
    };
    arguments.finish()?;
    Ok(test)
}

/// Whether a test contains other tests; an error for a name that no test has.
fn takes_tests(command: &Command) -> Result<bool, SieveError> {
    match command.name.as_str() {
        "not" | "allof" | "anyof" => Ok(true),
        "true" | "false" | "exists" | "size" | "header" | "address" | "envelope" | "date" | "currentdate" => Ok(false),
        _ => Err(unknown(command)),
    }
}

fn unknown(command: &Command) -> SieveError {
    SieveError::new(command.line, format!("unknown test '{}'", command.name))
}

fn tests(command: &Command, required: &RequiredExtensions) -> Result<Vec<Test>, SieveError> {
    command.tests.iter().map(|nested| test(nested, required)).collect()
}

fn not(command: &Command, required: &RequiredExtensions) -> Result<Test, SieveError> {
    match command.tests.as_slice() {
        [only] => Ok(Test::Not(Box::new(test(only, required)?))),
        _ => Err(SieveError::new(command.line, "not: takes one test")),
    }
}

/// Compiles `size` (RFC 5228 §5.9).
fn size(arguments: &mut Arguments<'_>) -> Result<Test, SieveError> {
    let over = match arguments.tag() {
        Some("over") => true,
        Some("under") => false,
        _ => return Err(arguments.error("expected ':over' or ':under'")),
    };
    Ok(Test::Size { over, octets: arguments.number("a limit")? })
}

/// Compiles `header` (RFC 5228 §5.7).
fn header(arguments: &mut Arguments<'_>, required: &RequiredExtensions, line: usize) -> Result<Test, SieveError> {
    let tags = Tags::parse(arguments, required, line, AllowedTags::default())?;
    let names = arguments.strings("field names")?;
    Ok(Test::Header { names, matcher: tags.matcher(arguments)? })
}

/// Compiles `address` (RFC 5228 §5.1).
fn address(arguments: &mut Arguments<'_>, required: &RequiredExtensions, line: usize) -> Result<Test, SieveError> {
    let tags = Tags::parse(arguments, required, line, AllowedTags { address_part: true, ..AllowedTags::default() })?;
    let names = arguments.strings("field names")?;
    if let Some(name) = names.iter().find(|n| !ADDRESS_FIELDS.contains(&n.to_ascii_lowercase().as_str())) {
        return Err(arguments.error(format_args!("the field {name:?} holds no addresses")));
    }
    Ok(Test::Address { names, part: tags.address_part(), matcher: tags.matcher(arguments)? })
}

/// Compiles `envelope` (RFC 5228 §5.4).
fn envelope(arguments: &mut Arguments<'_>, required: &RequiredExtensions, line: usize) -> Result<Test, SieveError> {
    required.need("envelope", line)?;
    let tags = Tags::parse(arguments, required, line, AllowedTags { address_part: true, ..AllowedTags::default() })?;
    let mut parts = Vec::new();
    for name in arguments.strings("envelope parts")? {
        parts.push(match name.to_ascii_lowercase().as_str() {
            "from" => EnvelopePart::From,
            "to" => EnvelopePart::To,
            _ => return Err(arguments.error(format_args!("unknown envelope part {name:?}"))),
        });
    }
    Ok(Test::Envelope { parts, part: tags.address_part(), matcher: tags.matcher(arguments)? })
}

/// Compiles `date` (RFC 5260 §4).
fn date(arguments: &mut Arguments<'_>, required: &RequiredExtensions, line: usize) -> Result<Test, SieveError> {
    required.need("date", line)?;
    let allowed = AllowedTags { zone: true, original_zone: true, ..AllowedTags::default() };
    let tags = Tags::parse(arguments, required, line, allowed)?;
    let name = arguments.text("a field name")?;
    // Without a zone, RFC 5260 §4.1 demands the local time zone. The interpreter knows none, so UTC applies. Delivery
    // runs only managed scripts, whose date tests name a zone.
    let zone = tags.zone.unwrap_or(Some(0));
    let source = DateSource::Header { name: name.into(), zone };
    Ok(Test::Date { source, part: date_part(arguments)?, matcher: tags.matcher(arguments)? })
}

/// Compiles `currentdate` (RFC 5260 §5).
fn current_date(arguments: &mut Arguments<'_>, required: &RequiredExtensions, line: usize) -> Result<Test, SieveError> {
    required.need("date", line)?;
    let tags = Tags::parse(arguments, required, line, AllowedTags { zone: true, ..AllowedTags::default() })?;
    let source = DateSource::Now { zone: tags.zone.flatten().unwrap_or(0) };
    Ok(Test::Date { source, part: date_part(arguments)?, matcher: tags.matcher(arguments)? })
}

fn date_part(arguments: &mut Arguments<'_>) -> Result<DatePart, SieveError> {
    let name = arguments.text("a date part")?;
    DatePart::parse(name).ok_or_else(|| arguments.error(format_args!("unknown date part {name:?}")))
}

/// The tags that a comparing test accepts besides `:comparator` and the match types.
#[derive(Clone, Copy, Default)]
struct AllowedTags {
    address_part: bool,
    zone: bool,
    original_zone: bool,
}

/// The tags of a comparing test.
#[derive(Default)]
struct Tags {
    comparator: Option<Comparator>,
    match_type: Option<MatchType>,
    address_part: Option<AddressPart>,
    /// The offset of `:zone` in seconds east of UTC; `Some(None)` for `:originalzone`.
    zone: Option<Option<i32>>,
}

impl Tags {
    fn parse(
        arguments: &mut Arguments<'_>,
        required: &RequiredExtensions,
        line: usize,
        allowed: AllowedTags,
    ) -> Result<Self, SieveError> {
        let mut tags = Self::default();
        while let Some(tag) = arguments.tag() {
            match tag {
                "comparator" => once(&mut tags.comparator, comparator(arguments, required, line)?, arguments)?,
                "is" => once(&mut tags.match_type, MatchType::Is, arguments)?,
                "contains" => once(&mut tags.match_type, MatchType::Contains, arguments)?,
                "matches" => once(&mut tags.match_type, MatchType::Matches, arguments)?,
                "value" | "count" => {
                    required.need("relational", line)?;
                    let relation = relation(arguments)?;
                    let match_type =
                        if tag == "value" { MatchType::Value(relation) } else { MatchType::Count(relation) };
                    once(&mut tags.match_type, match_type, arguments)?;
                }
                "all" if allowed.address_part => once(&mut tags.address_part, AddressPart::All, arguments)?,
                "localpart" if allowed.address_part => once(&mut tags.address_part, AddressPart::LocalPart, arguments)?,
                "domain" if allowed.address_part => once(&mut tags.address_part, AddressPart::Domain, arguments)?,
                "user" | "detail" if allowed.address_part => {
                    required.need("subaddress", line)?;
                    let part = if tag == "user" { AddressPart::User } else { AddressPart::Detail };
                    once(&mut tags.address_part, part, arguments)?;
                }
                "zone" if allowed.zone => {
                    let text = arguments.text("a zone")?;
                    let seconds = zone(text)
                        .ok_or_else(|| arguments.error(format_args!("the zone {text:?} is not +hhmm or -hhmm")))?;
                    once(&mut tags.zone, Some(seconds), arguments)?;
                }
                "originalzone" if allowed.original_zone => once(&mut tags.zone, None, arguments)?,
                other => return Err(arguments.error(format_args!("':{other}' is unknown, or not allowed here"))),
            }
        }
        Ok(tags)
    }

    fn address_part(&self) -> AddressPart {
        self.address_part.unwrap_or(AddressPart::All)
    }

    /// Takes the keys, which are the last argument of every comparing test.
    fn matcher(self, arguments: &mut Arguments<'_>) -> Result<TestMatcher, SieveError> {
        let comparator = self.comparator.unwrap_or(Comparator::AsciiCasemap);
        let match_type = self.match_type.unwrap_or(MatchType::Is);
        // RFC 4790 §9.1.1: i;ascii-numeric has no substring operation.
        if comparator == Comparator::AsciiNumeric && matches!(match_type, MatchType::Contains | MatchType::Matches) {
            return Err(arguments.error("i;ascii-numeric cannot be used with :contains or :matches"));
        }
        Ok(TestMatcher { comparator, match_type, keys: arguments.strings("keys")? })
    }
}

/// Takes the name of a comparator. `i;octet` and `i;ascii-casemap` need no require (RFC 5228 §2.7.3).
fn comparator(
    arguments: &mut Arguments<'_>,
    required: &RequiredExtensions,
    line: usize,
) -> Result<Comparator, SieveError> {
    match arguments.text("a comparator")? {
        "i;octet" => Ok(Comparator::Octet),
        "i;ascii-casemap" => Ok(Comparator::AsciiCasemap),
        "i;ascii-numeric" => {
            required.need("comparator-i;ascii-numeric", line)?;
            Ok(Comparator::AsciiNumeric)
        }
        other => Err(arguments.error(format_args!("unknown comparator {other:?}"))),
    }
}

/// Takes the relation of `:value` or `:count` (RFC 5231 §4).
fn relation(arguments: &mut Arguments<'_>) -> Result<Relation, SieveError> {
    let text = arguments.text("a relation")?;
    Ok(match text.to_ascii_lowercase().as_str() {
        "gt" => Relation::Gt,
        "ge" => Relation::Ge,
        "lt" => Relation::Lt,
        "le" => Relation::Le,
        "eq" => Relation::Eq,
        "ne" => Relation::Ne,
        _ => return Err(arguments.error(format_args!("unknown relation {text:?}"))),
    })
}
