//! Makes enrolments of enrollments.csv, classes.csv, courses.csv and academicSessions.csv.

use std::collections::HashMap;

use jiff::civil::Date;

use super::people::People;
use super::table::Table;
use super::{Set, Status, day};
use crate::CollectedRows;
use crate::record::{Enrolment, EnrolmentRole, Enrolments, FileError, RecordError, Severity};
use crate::rule;

/// Reads the enrolments. A wrong one is left out with a warning; no person is left out because of it.
pub(super) fn read(set: &Set, people: &People, rows: &mut CollectedRows) -> Result<Enrolments, FileError> {
    let Some(table) = &set.enrollments else { return Ok(Enrolments::default()) };
    table.need(&["classSourcedId", "userSourcedId", "role"])?;
    let classes = Classes::of(set);
    let mut enrolments = Vec::with_capacity(table.len());
    let mut are_complete = !table.is_delta && table.misshaped.is_empty();
    for row in 0..table.len() {
        match enrolment(table, row, people, &classes) {
            Ok(enrolment) => enrolments.extend(enrolment),
            Err((column, rule)) => {
                are_complete = false;
                rows.report(table.problem(Severity::Warning, table.line(row), column, rule));
            }
        }
    }
    for line in &table.misshaped {
        let words = "a wrong number of fields, or a misplaced quotation mark: the enrolment is ignored";
        rows.report(RecordError::warning(*line, "enrollments.csv", rule::FIELD_COUNT, words));
    }
    Ok(Enrolments { rows: enrolments, are_complete })
}

/// One enrolment; `None` for a role that is neither taught nor taught to.
fn enrolment(
    table: &Table,
    row: usize,
    people: &People,
    classes: &Classes<'_>,
) -> Result<Option<Enrolment>, (&'static str, rule::Rule)> {
    let status = table.status(row).ok_or(("status", rule::ONEROSTER_STATUS))?;
    let role = match table.get(row, "role").to_lowercase().as_str() {
        "student" => EnrolmentRole::Student,
        "teacher" | "aide" | "proctor" => EnrolmentRole::Teacher,
        _ => return Ok(None),
    };
    let (user, class) = (table.get(row, "userSourcedId"), table.get(row, "classSourcedId"));
    if user.is_empty() {
        return Err(("userSourcedId", rule::ONEROSTER_REFERENCE));
    }
    let id = class;
    let class = classes.get(id).ok_or(("classSourcedId", rule::ONEROSTER_REFERENCE))?;
    let number = people.numbers.get(user).map_or(user, String::as_str);
    let end = day(table.get(row, "endDate"));
    let end_date = match status {
        Status::Ended(on) => Some(end.filter(|end| *end < on).unwrap_or(on)),
        Status::Active => end,
    };
    Ok(Some(Enrolment {
        line: table.line(row),
        person_id: number.into(),
        class: id.into(),
        is_class_described: classes.classes.contains_key(id),
        course: class.course.into(),
        section: class.section.into(),
        title: class.title.into(),
        term: class.term.into(),
        term_end: class.end,
        role,
        start_date: day(table.get(row, "beginDate")),
        end_date,
        is_ended: status != Status::Active,
    }))
}

/// The classes of an archive with their courses and terms.
struct Classes<'a> {
    set: &'a Set,
    classes: HashMap<&'a str, usize>,
    courses: HashMap<&'a str, usize>,
    sessions: HashMap<&'a str, usize>,
}

/// What is known of one class.
struct Class<'a> {
    course: &'a str,
    section: &'a str,
    title: &'a str,
    term: &'a str,
    end: Option<Date>,
}

impl<'a> Classes<'a> {
    fn of(set: &'a Set) -> Self {
        let rows = |table: &'a Option<Table>| table.as_ref().map(Table::by_id).unwrap_or_default();
        Self { set, classes: rows(&set.classes), courses: rows(&set.courses), sessions: rows(&set.sessions) }
    }

    /// The class with a sourcedId. Where the archive has no classes.csv, or a delta that does not name the class, only
    /// its id is known; `None` when a complete classes.csv does not name it.
    fn get(&self, id: &'a str) -> Option<Class<'a>> {
        let (Some(classes), Some(row)) = (&self.set.classes, self.classes.get(id)) else {
            let is_complete = self.set.classes.as_ref().is_some_and(|classes| !classes.is_delta);
            return (!is_complete && !id.is_empty()).then_some(Class {
                course: "",
                section: "",
                title: "",
                term: "",
                end: None,
            });
        };
        let first = |text: &'a str, other: &'a str| if text.is_empty() { other } else { text };
        let course = self.set.courses.as_ref().zip(self.courses.get(classes.get(*row, "courseSourcedId")));
        let course =
            course.map_or("", |(courses, row)| first(courses.get(*row, "courseCode"), courses.get(*row, "title")));
        let term = classes.get(*row, "termSourcedIds").split(',').next().unwrap_or_default().trim();
        let session = self.set.sessions.as_ref().zip(self.sessions.get(term));
        let ended = match classes.status(*row) {
            Some(Status::Ended(day)) => Some(day),
            Some(Status::Active) | None => None,
        };
        Some(Class {
            course: first(course, classes.get(*row, "courseSourcedId")),
            section: first(classes.get(*row, "classCode"), id),
            title: classes.get(*row, "title"),
            term: session.map_or(term, |(sessions, row)| first(sessions.get(*row, "title"), term)),
            end: earlier(session.and_then(|(sessions, row)| day(sessions.get(*row, "endDate"))), ended),
        })
    }
}

/// The earlier of two days that may be unknown.
fn earlier(one: Option<Date>, other: Option<Date>) -> Option<Date> {
    one.into_iter().chain(other).min()
}
