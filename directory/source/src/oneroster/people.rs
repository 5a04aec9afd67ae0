//! Makes people of users.csv, roles.csv, demographics.csv and orgs.csv.

use std::collections::{HashMap, HashSet};

use super::table::Table;
use super::{Set, Status, day};
use crate::CollectedRows;
use crate::column::{Column, ColumnSet};
use crate::profile::SourceProfile;
use crate::record::{Affiliation, FileError, RecordError, Severity};
use crate::row::{Cell, RawRow};
use crate::rule;

/// Columns of users.csv, in lower case, with the column that each stands for where the profile does not say otherwise.
/// `email` is not among them: it is the school's address, not a private one.
const COLUMNS: [(&str, Column); 5] = [
    ("sourcedid", Column::PersonId),
    ("givenname", Column::GivenName),
    ("familyname", Column::FamilyName),
    ("preferredgivenname", Column::PreferredGivenName),
    ("password", Column::Password),
];
/// Roles of people who are given no account here, in lower case.
const OUTSIDERS: [&str; 3] = ["parent", "guardian", "relative"];
/// Extension columns of a users.csv of rejected rows.
pub(crate) const REJECT_COLUMNS: [&str; 3] = ["metadata.reject_line", "metadata.reject_rule", "metadata.reject_words"];

/// The people of an archive, for the enrolments.
pub(super) struct People {
    pub(super) columns: Vec<Column>,
    /// The number of each user by sourcedId.
    pub(super) numbers: HashMap<String, String>,
    /// Whether the archive holds users whom an import had left out.
    pub(super) is_of_rejects: bool,
}

/// One role of a user.
struct Role {
    word: String,
    org: String,
    start: String,
    end: String,
}

/// The texts of one user's row that the row does not have itself.
#[derive(Default)]
struct Part {
    affiliation: Option<String>,
    program: Option<String>,
    start: Option<String>,
    end: Option<String>,
}

pub(super) fn read(profile: &SourceProfile, set: &Set, rows: &mut CollectedRows) -> Result<People, FileError> {
    let mut people = People { columns: Vec::new(), numbers: HashMap::new(), is_of_rejects: false };
    let Some(users) = &set.users else {
        let roles = roles_by_user(set, rows)?;
        let orgs: HashMap<&str, &str> = set.orgs.iter().flat_map(orgs).collect();
        if take_changed_roles(profile, set, &orgs, rows)? {
            people.columns =
                vec![Column::PersonId, Column::Affiliation, Column::Program, Column::StartDate, Column::EndDate];
        } else {
            report_roles_without_user(set, &roles, rows);
        }
        return Ok(people);
    };
    users.need(&["sourcedId", "givenName", "familyName"])?;
    let places: Vec<(Column, &str)> =
        users.header.iter().filter_map(|name| Some((column(profile, name)?, name.as_str()))).collect();
    people.is_of_rejects = REJECT_COLUMNS.iter().any(|name| users.has(name));
    let roles = roles_by_user(set, rows)?;
    let births: HashMap<&str, &str> = set.demographics.iter().flat_map(births).collect();
    let orgs: HashMap<&str, &str> = set.orgs.iter().flat_map(orgs).collect();
    let mut outsiders = 0;
    let mut seen: ColumnSet = places.iter().map(|(column, _)| *column).collect();
    for row in 0..users.len() {
        let (line, id) = (users.line(row), users.get(row, "sourcedId"));
        rows.count()?;
        let Some(status) = users.status(row) else {
            rows.reject(users.problem(Severity::Error, line, "status", rule::ONEROSTER_STATUS), Some(id))?;
            continue;
        };
        let mine: Vec<Role> = match (&set.roles, roles.get(id)) {
            (Some(_), Some(roles)) => roles.iter().map(Role::again).collect(),
            (Some(_), None) => Vec::new(),
            (None, _) => role_of_user(users, row).into_iter().collect(),
        };
        if !mine.is_empty() && mine.iter().all(|role| OUTSIDERS.contains(&role.word.to_lowercase().as_str())) {
            outsiders += 1;
            continue;
        }
        let states_roles = set.roles.as_ref().map_or_else(|| users.has("role"), |roles| !roles.is_delta);
        let parts = parts(&mine, &orgs, status);
        if parts.is_empty() && states_roles {
            rows.reject(users.problem(Severity::Error, line, "role", rule::ONEROSTER_ROLE), Some(id))?;
            continue;
        }
        if users.get(row, "enabledUser").eq_ignore_ascii_case("false") {
            rows.report(users.problem(Severity::Warning, line, "enabledUser", rule::ONEROSTER_DISABLED));
        }
        let mut base = RawRow::new(line);
        places.iter().for_each(|(column, name)| base.set(*column, Cell::Text(users.get(row, name))));
        if let Some(birth) = births.get(id) {
            base.set(Column::BirthDate, Cell::Text(birth));
            seen.insert(Column::BirthDate);
        }
        if let Cell::Text(number) = base.cell(Column::PersonId) {
            people.numbers.insert(id.to_owned(), number.to_owned());
        }
        let ended = match status {
            Status::Ended(day) => Some(day.to_string()),
            Status::Active => None,
        };
        let parts = if parts.is_empty() { vec![Part { end: ended, ..Part::default() }] } else { parts };
        let made: Vec<RawRow<'_>> = parts.iter().map(|part| part.row(&base)).collect();
        rows.take(profile, &made)?;
    }
    for line in &users.misshaped {
        rows.count()?;
        let words = "a wrong number of fields, or a misplaced quotation mark";
        rows.reject(RecordError::error(*line, "users.csv", rule::FIELD_COUNT, words), None)?;
    }
    if outsiders > 0 {
        let words = format!("{outsiders} users are only parents, guardians or relatives: they are given no account");
        rows.report(RecordError::warning(1, "users.csv", rule::ONEROSTER_ROLE.id, words));
    }
    [Column::Affiliation, Column::Program, Column::StartDate, Column::EndDate].into_iter().for_each(|c| seen.insert(c));
    people.columns = seen.iter().collect();
    if !take_changed_roles(profile, set, &orgs, rows)? {
        report_roles_without_user(set, &roles, rows);
    }
    Ok(people)
}

/// Takes the roles of a delta whose users the archive does not name: each is a record that states only affiliations.
/// Returns whether the file of roles is such a delta, and sourcedId is the number.
fn take_changed_roles(
    profile: &SourceProfile,
    set: &Set,
    orgs: &HashMap<&str, &str>,
    rows: &mut CollectedRows,
) -> Result<bool, FileError> {
    let Some(table) = set.roles.as_ref().filter(|table| table.is_delta) else { return Ok(false) };
    let is_mapped = profile.columns.iter().any(|(theirs, of)| *of == Column::PersonId && theirs != "sourcedid");
    if is_mapped {
        return Ok(false);
    }
    let users = set.users.as_ref();
    let named: HashSet<&str> =
        users.map(|users| (0..users.len()).map(|row| users.get(row, "sourcedId")).collect()).unwrap_or_default();
    let mut lines: Vec<(&str, u64, Vec<Role>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for row in 0..table.len() {
        let (user, role) = (table.get(row, "userSourcedId"), role_of_row(table, row));
        if let Some(role) = role.filter(|_| !user.is_empty() && !named.contains(user)) {
            let place = *places.entry(user).or_insert_with(|| {
                lines.push((user, table.line(row), Vec::new()));
                lines.len() - 1
            });
            if let Some((_, _, of_user)) = lines.get_mut(place) {
                of_user.push(role);
            }
        }
    }
    for (user, line, roles) in lines {
        let parts = parts(&roles, orgs, Status::Active);
        let mut base = RawRow::new(line);
        base.set(Column::PersonId, Cell::Text(user));
        let made: Vec<RawRow<'_>> = parts.iter().map(|part| part.row(&base)).collect();
        rows.count()?;
        rows.take(profile, &made)?;
    }
    Ok(true)
}

fn column(profile: &SourceProfile, name: &str) -> Option<Column> {
    let lower = name.to_lowercase();
    profile.column(name).or_else(|| COLUMNS.iter().find(|(known, _)| *known == lower).map(|(_, column)| *column))
}

impl Role {
    fn again(&self) -> Self {
        Self { word: self.word.clone(), org: self.org.clone(), start: self.start.clone(), end: self.end.clone() }
    }
}

impl Part {
    fn row<'a>(&'a self, base: &RawRow<'a>) -> RawRow<'a> {
        let mut row = base.clone();
        let cells = [
            (Column::Affiliation, &self.affiliation),
            (Column::Program, &self.program),
            (Column::StartDate, &self.start),
            (Column::EndDate, &self.end),
        ];
        for (column, text) in cells {
            if let Some(text) = text {
                row.set(column, Cell::Text(text));
            }
        }
        // A role that stands and states no end has none: the end that an earlier delta gave is over.
        if self.affiliation.is_some() && self.end.is_none() {
            row.set(Column::EndDate, Cell::Null);
        }
        row
    }
}

/// The role of a user in OneRoster 1.1, which stands in users.csv.
fn role_of_user(users: &Table, row: usize) -> Option<Role> {
    let word = users.get(row, "role");
    // Several organisations are separated by commas; the first one is the user's own.
    let org = users.get(row, "orgSourcedIds").split(',').next().unwrap_or_default().trim().to_owned();
    (!word.is_empty()).then(|| Role { word: word.to_owned(), org, start: String::new(), end: String::new() })
}

/// The roles of each user in OneRoster 1.2.
fn roles_by_user(set: &Set, rows: &mut CollectedRows) -> Result<HashMap<String, Vec<Role>>, FileError> {
    let mut by_user: HashMap<String, Vec<Role>> = HashMap::new();
    let Some(roles) = &set.roles else { return Ok(by_user) };
    roles.need(&["userSourcedId", "role"])?;
    for row in 0..roles.len() {
        match role_of_row(roles, row) {
            Some(role) => by_user.entry(roles.get(row, "userSourcedId").to_owned()).or_default().push(role),
            None => rows.report(roles.problem(Severity::Warning, roles.line(row), "status", rule::ONEROSTER_STATUS)),
        }
    }
    for line in &roles.misshaped {
        let words = "a wrong number of fields, or a misplaced quotation mark: the role is ignored";
        rows.report(RecordError::warning(*line, "roles.csv", rule::FIELD_COUNT, words));
    }
    Ok(by_user)
}

/// The role of one row; `None` when its status is wrong.
fn role_of_row(roles: &Table, row: usize) -> Option<Role> {
    let cell = |column: &str| roles.get(row, column).to_owned();
    let status = roles.status(row)?;
    let mut role =
        Role { word: cell("role"), org: cell("orgSourcedId"), start: cell("beginDate"), end: cell("endDate") };
    if let Status::Ended(on) = status {
        let earlier = day(&role.end).filter(|end| *end < on).unwrap_or(on);
        role.end = earlier.to_string();
    }
    Some(role)
}

/// The affiliations that roles give; roles of people outside give none.
fn parts(roles: &[Role], orgs: &HashMap<&str, &str>, status: Status) -> Vec<Part> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut parts: Vec<Part> = Vec::new();
    for role in roles.iter().filter(|role| !OUTSIDERS.contains(&role.word.to_lowercase().as_str())) {
        let date = |text: &str| some(text.get(..10).unwrap_or(text));
        let end = match status {
            Status::Ended(on) => Some(day(&role.end).filter(|end| *end < on).unwrap_or(on).to_string()),
            Status::Active => date(&role.end),
        };
        let part = Part {
            affiliation: Some(affiliation(&role.word)),
            program: orgs.get(role.org.as_str()).copied().and_then(some),
            start: date(&role.start),
            end,
        };
        // A user may have one role in several organisations without a name here.
        if !parts.iter().any(|known| known.affiliation == part.affiliation && known.program == part.program) {
            parts.push(part);
        }
    }
    parts
}

/// The affiliation of a role; another word stays, for the profile to know or to be refused.
fn affiliation(role: &str) -> String {
    let known = match role.to_lowercase().as_str() {
        "student" => Affiliation::Student,
        "teacher" => Affiliation::Faculty,
        "aide"
        | "administrator"
        | "counselor"
        | "principal"
        | "proctor"
        | "siteadministrator"
        | "districtadministrator"
        | "systemadministrator" => Affiliation::Staff,
        _ => return role.to_owned(),
    };
    known.as_str().to_owned()
}

fn births(demographics: &Table) -> Vec<(&str, &str)> {
    let birth = |row| (demographics.get(row, "sourcedId"), demographics.get(row, "birthDate"));
    (0..demographics.len()).map(birth).filter(|(_, date)| !date.is_empty()).collect()
}

fn orgs(orgs: &Table) -> Vec<(&str, &str)> {
    (0..orgs.len()).map(|row| (orgs.get(row, "sourcedId"), orgs.get(row, "name"))).collect()
}

/// Reports roles of users whom users.csv does not name: without a name, they cannot be compared.
fn report_roles_without_user(set: &Set, roles: &HashMap<String, Vec<Role>>, rows: &mut CollectedRows) {
    let (Some(users), Some(table)) = (&set.users, &set.roles) else { return };
    let named: HashSet<&str> = (0..users.len()).map(|row| users.get(row, "sourcedId")).collect();
    if roles.keys().all(|user| named.contains(user.as_str())) {
        return;
    }
    for row in (0..table.len()).filter(|row| !named.contains(table.get(*row, "userSourcedId"))) {
        rows.report(table.problem(Severity::Warning, table.line(row), "userSourcedId", rule::ONEROSTER_REFERENCE));
    }
}
