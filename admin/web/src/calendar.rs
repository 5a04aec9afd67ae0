//! Days and moments in the page's language and the site's time zone.

use jiff::civil::Date;
use jiff::{Timestamp, ZonedDateTime};

use crate::language::Language;

/// A day: "5 janvier 2027", "January 5, 2027".
pub(crate) fn day(date: Date, language: Language) -> String {
    let month = language.text(&format!("month.{}", date.month()), &[]);
    let (number, year) = (date.day(), date.year());
    match language {
        Language::French if number == 1 => format!("1er {month} {year}"),
        Language::French => format!("{number} {month} {year}"),
        Language::English => format!("{month} {number}, {year}"),
    }
}

/// The day that a text of the form `YYYY-MM-DD` names; other text is returned unchanged.
pub(crate) fn day_of(text: &str, language: Language) -> String {
    text.parse::<Date>().map_or_else(|_| text.to_owned(), |date| day(date, language))
}

/// The time that a text in RFC 3339 form names: "aujourd’hui à 15 h 45", "January 5, 2027 at 15:45". Other text is
/// returned unchanged. `now` gives today and the time zone.
pub(crate) fn moment(text: &str, now: &ZonedDateTime, language: Language) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    let at = time.to_zoned_datetime(now.time_zone().clone());
    let today = now.date();
    let day = match at.date() {
        date if date == today => language.text("moment.today", &[]),
        date if today.yesterday().is_ok_and(|yesterday| date == yesterday) => language.text("moment.yesterday", &[]),
        date => day(date, language),
    };
    let (hour, minute) = (at.hour().to_string(), format!("{:02}", at.minute()));
    language.text("moment.at", &[("day", &day), ("hour", &hour), ("minute", &minute)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_the_language_and_time_zone() {
        // 21:00 on the 23rd in Toronto.
        let now: ZonedDateTime = "2026-11-23T21:00:00-05:00[America/Toronto]".parse().unwrap();
        for (text, french, english) in [
            ("2026-11-23T20:45:00Z", "aujourd’hui à 15 h 45", "today at 15:45"),
            ("2026-11-24T01:05:00Z", "aujourd’hui à 20 h 05", "today at 20:05"),
            ("2026-11-23T04:59:59Z", "hier à 23 h 59", "yesterday at 23:59"),
            ("2026-08-01T12:00:00Z", "1er août 2026 à 8 h 00", "August 1, 2026 at 8:00"),
            ("no moment", "no moment", "no moment"),
        ] {
            assert_eq!(moment(text, &now, Language::French), french);
            assert_eq!(moment(text, &now, Language::English), english);
        }
        assert_eq!(day_of("2027-01-05", Language::French), "5 janvier 2027");
        assert_eq!(day_of("some day", Language::French), "some day");
    }
}
