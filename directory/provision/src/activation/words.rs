//! Days and servers in the language of a mail or letter.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provost_settings::ClientServer;
use serde::Serialize;

use super::FRENCH;

const MONTHS_FR: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];
const MONTHS_EN: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A server that people enter in their mail program, in words.
#[derive(Serialize)]
pub(super) struct ServerWords {
    label: &'static str,
    host: String,
    port: u16,
    tls: &'static str,
}

/// The day of a moment: `4 janvier 2027`, `January 4, 2027`.
pub(super) fn long_day(at: Timestamp, zone: &TimeZone, language: &str) -> String {
    let date = zone.to_datetime(at).date();
    let (day, year, month) = (date.day(), date.year(), usize::from(date.month().unsigned_abs()).saturating_sub(1));
    let name = |months: &[&'static str; 12]| months.get(month).copied().unwrap_or_default();
    match (language, day) {
        (FRENCH, 1) => format!("1er {} {year}", name(&MONTHS_FR)),
        (FRENCH, _) => format!("{day} {} {year}", name(&MONTHS_FR)),
        _ => format!("{} {day}, {year}", name(&MONTHS_EN)),
    }
}

pub(super) fn server_words(servers: &[ClientServer], language: &str) -> Vec<ServerWords> {
    let label = |protocol: &str| match (protocol, language) {
        ("imap", FRENCH) => "Réception (IMAP)",
        ("imap", _) => "Incoming (IMAP)",
        ("pop3", FRENCH) => "Réception (POP3)",
        ("pop3", _) => "Incoming (POP3)",
        (_, FRENCH) => "Envoi (SMTP)",
        _ => "Outgoing (SMTP)",
    };
    let words = |server: &ClientServer| ServerWords {
        label: label(server.protocol),
        host: server.host.clone(),
        port: server.port,
        tls: if server.implicit_tls { "SSL/TLS" } else { "STARTTLS" },
    };
    servers.iter().map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_site() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        for (at, french, english) in [
            ("2027-01-05T02:00:00Z", "4 janvier 2027", "January 4, 2027"),
            ("2026-08-01T12:00:00Z", "1er août 2026", "August 1, 2026"),
        ] {
            let at = at.parse().unwrap();
            assert_eq!((long_day(at, &zone, "fr"), long_day(at, &zone, "en")), (french.into(), english.into()));
        }
    }
}
