//! Require-Recipient-Valid-Since (RFC 7293): the sender asks that a message reach its recipient only if the mailbox has
//! had the same owner since a moment.

use jiff::Timestamp;
use provost_view::Address;

use crate::{SentDate, fields};

/// Name of the header field.
const FIELD_NAME: &str = "Require-Recipient-Valid-Since";
/// Longest value of the parameter, octets: a date-time with nine decimals and a zone, and the mark.
const PARAMETER_OCTETS_MAX: usize = 40;
/// Maximum number of header fields that are read.
const FIELDS_MAX: usize = 100;

/// Reads the value of the RRVS parameter of RCPT (RFC 7293 §3.1): a date-time of RFC 3339, and after a semicolon `C` or
/// `R`, which say what a relay does when the next hop lacks the extension. `None` when it is malformed.
pub fn parse_valid_since(value: &str) -> Option<Timestamp> {
    let (moment, mark) = value.split_once(';').map_or((value, None), |(moment, mark)| (moment, Some(mark)));
    let is_mark = mark.is_none_or(|mark| mark.eq_ignore_ascii_case("C") || mark.eq_ignore_ascii_case("R"));
    // jiff reads more than RFC 3339, such as a zone in brackets.
    let is_date_time = moment.as_bytes().get(10).is_some_and(|octet| octet.eq_ignore_ascii_case(&b'T'))
        && moment.bytes().all(|octet| octet.is_ascii_digit() || b"-:.TtZz+".contains(&octet));
    let is_whole = value.len() <= PARAMETER_OCTETS_MAX && is_mark && is_date_time;
    moment.parse().ok().filter(|_| is_whole)
}

/// The addresses and moments of the header fields of a message (RFC 7293 §3.2). A field that cannot be read is ignored.
pub fn valid_since_fields(message: &[u8]) -> impl Iterator<Item = (Address, Timestamp)> {
    fields(message).filter(|field| field.is(FIELD_NAME)).take(FIELDS_MAX).filter_map(|field| {
        let value = field.value();
        let (address, date) = value.split_once(';')?;
        Some((Address::parse(address.trim()).ok()?, SentDate::parse(date.as_bytes())?.timestamp()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_a_date_time_with_a_mark() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        for (value, expect) in [
            ("2014-04-03T23:01:00Z", at("2014-04-03T23:01:00Z")),
            ("2014-04-03t23:01:00z", at("2014-04-03T23:01:00Z")),
            ("2014-04-03T23:01:00+02:00", at("2014-04-03T21:01:00Z")),
            ("2014-04-03T23:01:00.5Z;C", at("2014-04-03T23:01:00.5Z")),
            ("2014-04-03T23:01:00Z;r", at("2014-04-03T23:01:00Z")),
            ("2014-04-03T23:01:00Z;X", None),
            ("2014-04-03T23:01:00Z;", None),
            ("2014-04-03T23:01:00", None),
            ("2014-04-03", None),
            ("2014-04-03 23:01:00Z", None),
            ("2014-04-03T23:01:00-04:00[America/Toronto]", None),
            ("2014-13-03T23:01:00Z", None),
            ("", None),
        ] {
            assert_eq!(parse_valid_since(value), expect, "{value}");
        }
    }

    #[test]
    fn fields_name_an_address_and_a_date() {
        let message = b"Subject: x\r\n\
            Require-Recipient-Valid-Since: Zoe@Example.edu;\r\n Thu, 3 Apr 2014 23:01:00 -0400\r\n\
            require-recipient-valid-since: no address; Thu, 3 Apr 2014 23:01:00 GMT\r\n\
            Require-Recipient-Valid-Since: ann@example.edu; some day\r\n\
            Require-Recipient-Valid-Since: ann@example.edu\r\n\
            \r\nRequire-Recipient-Valid-Since: body@example.edu; 3 Apr 2014 23:01:00 GMT\r\n";
        let read: Vec<String> = valid_since_fields(message).map(|(address, at)| format!("{address} {at}")).collect();
        assert_eq!(read, ["zoe@example.edu 2014-04-04T03:01:00Z"]);
    }
}
