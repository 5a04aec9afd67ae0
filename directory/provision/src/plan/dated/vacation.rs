//! The vacation rule of a record.

use provost_schema::attr;

use super::{DatedRecord, WantedDated};
use crate::source::{Column, MoreFields};

/// Subject of the reply in French.
pub(in crate::plan) const SUBJECT_FR: &str = "mailAutoReplySubject;lang-fr";
/// Subject of the reply in English.
pub(in crate::plan) const SUBJECT_EN: &str = "mailAutoReplySubject;lang-en";
/// Text of the reply in French.
pub(in crate::plan) const TEXT_FR: &str = "mailAutoReplyText;lang-fr";
/// Text of the reply in English.
pub(in crate::plan) const TEXT_EN: &str = "mailAutoReplyText;lang-en";
/// mailAutoReplyMode when the rule is on.
const MODE_REPLY: &str = "reply";

/// Whether the fields say something of a vacation.
pub(super) fn is_stated(more: &MoreFields) -> bool {
    let texts = [&more.vacation_subject_fr, &more.vacation_subject_en, &more.vacation_text_fr, &more.vacation_text_en];
    more.vacation_start.is_some() || more.vacation_end.is_some() || texts.into_iter().any(Option::is_some)
}

/// The rule is on while it has a text in some language; without one, everything that belongs to it is removed. Empty
/// when the record says nothing of the texts, and none is held.
pub(super) fn vacation(dated: &DatedRecord<'_>) -> Vec<WantedDated> {
    let more = dated.more;
    let [text_fr, text_en] =
        [(Column::VacationTextFr, &more.vacation_text_fr), (Column::VacationTextEn, &more.vacation_text_en)]
            .map(|(column, cell)| dated.stated(column, cell.as_deref().map(str::to_owned)));
    let says_nothing = text_fr.is_nothing() && text_en.is_nothing();
    let held = HeldVacation::of(dated);
    let mode_column = if text_fr.is_nothing() { Column::VacationTextEn } else { Column::VacationTextFr };
    let (text_fr, text_en) = (text_fr.or_held(held.text_fr), text_en.or_held(held.text_en));
    if text_fr.is_none() && text_en.is_none() {
        return if says_nothing { Vec::new() } else { cleared(mode_column).to_vec() };
    }
    let subject = |column, cell: &Option<Box<str>>, held| {
        dated.stated(column, cell.as_deref().map(str::to_owned)).or_held(held).into_iter().collect()
    };
    let mode = held.mode.unwrap_or_else(|| MODE_REPLY.to_owned());
    let mut wanted = vec![
        (attr::MAIL_AUTO_REPLY_MODE, mode_column, vec![mode]),
        // A text without a language, written by other means, counts as English. Left where it is, it would be sent in
        // addition to the English one.
        (attr::MAIL_AUTO_REPLY_SUBJECT, Column::VacationSubjectEn, Vec::new()),
        (attr::MAIL_AUTO_REPLY_TEXT, Column::VacationTextEn, Vec::new()),
        (TEXT_FR, Column::VacationTextFr, text_fr.into_iter().collect()),
        (TEXT_EN, Column::VacationTextEn, text_en.into_iter().collect()),
    ];
    for (name, column, cell, held) in [
        (SUBJECT_FR, Column::VacationSubjectFr, &more.vacation_subject_fr, held.subject_fr),
        (SUBJECT_EN, Column::VacationSubjectEn, &more.vacation_subject_en, held.subject_en),
    ] {
        wanted.push((name, column, subject(column, cell, held)));
    }
    wanted.extend(dated.period(
        [Column::VacationStart, Column::VacationEnd],
        [more.vacation_start, more.vacation_end],
        [attr::VACATION_START_DATE, attr::VACATION_END_DATE],
    ));
    wanted
}

/// The rule that the entry holds; empty when it is not on.
#[derive(Default)]
struct HeldVacation {
    mode: Option<String>,
    subject_fr: Option<String>,
    subject_en: Option<String>,
    text_fr: Option<String>,
    text_en: Option<String>,
}

impl HeldVacation {
    fn of(dated: &DatedRecord<'_>) -> Self {
        let mode = dated.held(attr::MAIL_AUTO_REPLY_MODE).filter(|mode| mode.eq_ignore_ascii_case(MODE_REPLY));
        if mode.is_none() {
            return Self::default();
        }
        Self {
            mode,
            subject_fr: dated.held(SUBJECT_FR),
            subject_en: dated.held(SUBJECT_EN).or_else(|| dated.held(attr::MAIL_AUTO_REPLY_SUBJECT)),
            text_fr: dated.held(TEXT_FR),
            text_en: dated.held(TEXT_EN).or_else(|| dated.held(attr::MAIL_AUTO_REPLY_TEXT)),
        }
    }
}

/// Everything of a rule without values. `column` is the one that has cleared its last text.
fn cleared(column: Column) -> [WantedDated; 10] {
    [
        (attr::MAIL_AUTO_REPLY_MODE, column),
        (attr::MAIL_AUTO_REPLY_SUBJECT, Column::VacationSubjectEn),
        (attr::MAIL_AUTO_REPLY_TEXT, Column::VacationTextEn),
        (TEXT_FR, Column::VacationTextFr),
        (TEXT_EN, Column::VacationTextEn),
        (SUBJECT_FR, Column::VacationSubjectFr),
        (SUBJECT_EN, Column::VacationSubjectEn),
        (attr::VACATION_START_DATE, Column::VacationStart),
        (attr::VACATION_END_DATE, Column::VacationEnd),
        (attr::PROVOST_VACATION_INTERVAL, column),
    ]
    .map(|(name, column)| (name, column, Vec::new()))
}
