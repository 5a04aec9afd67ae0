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

/// A line that says whether something with a first and a last day is on at the day `today`, and the CSS class of its
/// colour. `dates` is `None` when it is off. The texts have the keys `PREFIX.off`, `PREFIX.on_until` and so on.
pub(crate) fn period(
    prefix: &str,
    dates: Option<(Option<Date>, Option<Date>)>,
    today: Date,
    language: Language,
) -> (String, &'static str) {
    let Some((first, last)) = dates else { return (language.text(&format!("{prefix}.off"), &[]), "") };
    let day_text = |date: Option<Date>| date.map_or_else(String::new, |date| day(date, language));
    let is_over = last.is_some_and(|last| last < today);
    let is_planned = first.is_some_and(|first| first > today);
    let (key, level) = match last {
        _ if is_over => ("over", "warn"),
        Some(_) if is_planned => ("planned", "warn"),
        None if is_planned => ("planned_open", "warn"),
        Some(_) => ("on_until", "good"),
        None => ("on_open", "good"),
    };
    let values = [("start", &*day_text(first)), ("end", &*day_text(last))];
    (language.text(&format!("{prefix}.{key}"), &values), level)
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

    #[test]
    fn a_period_is_summarised_for_the_day() {
        let today = "2026-12-24".parse().unwrap();
        for (start, end, text, level) in [
            ("", "", "On, without an end", "good"),
            ("2026-12-24", "2026-12-24", "On, up to and including December 24, 2026", "good"),
            ("2026-12-25", "2027-01-01", "Planned from December 25, 2026 up to and including January 1, 2027", "warn"),
            ("2026-12-25", "", "Planned from December 25, 2026, without an end", "warn"),
            ("", "2026-12-23", "Over, last day December 23, 2026: no longer sent", "warn"),
        ] {
            let summary = period("vacation", Some((start.parse().ok(), end.parse().ok())), today, Language::English);
            assert_eq!((summary.0.as_str(), summary.1), (text, level), "'{start}' to '{end}'");
        }
        assert_eq!(period("vacation", None, today, Language::French), ("Aucune".to_owned(), ""));
        for (end, text) in
            [("2026-12-23", "Over, last day December 23, 2026: no longer forwarded"), ("", "On, without an end")]
        {
            let dates = Some((None, end.parse().ok()));
            assert_eq!(period("forwarding", dates, today, Language::English).0, text);
        }
    }
}
