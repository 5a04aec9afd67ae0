//! Reads OneRoster 1.1 and 1.2 archives (1EdTech OneRoster CSV binding), bulk and delta.
//!
//! `sourcedId` is the key of a person. Whether a file is complete, a delta or absent is what manifest.csv says; an
//! archive that contradicts its manifest is refused. A file that is absent says nothing: what it would name stays.
//! `tobedeleted` in a delta ends what it names on the day of `dateLastModified`, and deletes nothing.

mod archive;
mod enrolments;
mod people;
mod table;

use jiff::civil::Date;

use crate::profile::SourceProfile;
use crate::record::FileError;
use crate::{CollectedRows, ReadFile, ReadOptions};

use archive::Archive;
use table::Table;

/// Reads a whole archive.
pub(crate) fn read(profile: &SourceProfile, bytes: &[u8], options: &ReadOptions) -> Result<ReadFile, FileError> {
    let mut archive = Archive::open(bytes)?;
    let manifest = Manifest::read(&mut archive)?;
    let mut rows = CollectedRows::default();
    let set = Set {
        users: manifest.table(&mut archive, "users")?,
        roles: manifest.table(&mut archive, "roles")?,
        demographics: manifest.table(&mut archive, "demographics")?,
        orgs: manifest.table(&mut archive, "orgs")?,
        enrollments: manifest.table(&mut archive, "enrollments")?,
        classes: manifest.table(&mut archive, "classes")?,
        courses: manifest.table(&mut archive, "courses")?,
        sessions: manifest.table(&mut archive, "academicSessions")?,
    };
    let people = people::read(profile, &set, &mut rows)?;
    let enrolments = enrolments::read(&set, &people, &mut rows)?;
    crate::csv_file::check_count(profile, None, options, rows.read)?;
    let is_partial = set.users.as_ref().is_none_or(|users| users.is_delta || people.is_of_rejects);
    Ok(ReadFile { rows, columns: people.columns, is_partial, enrolments })
}

/// The files of an archive that are read; `None` for one that is absent.
struct Set {
    users: Option<Table>,
    roles: Option<Table>,
    demographics: Option<Table>,
    orgs: Option<Table>,
    enrollments: Option<Table>,
    classes: Option<Table>,
    courses: Option<Table>,
    sessions: Option<Table>,
}

/// The properties of manifest.csv.
struct Manifest(Vec<(String, String)>);

impl Manifest {
    fn read(archive: &mut Archive<'_>) -> Result<Self, FileError> {
        let Some(text) = archive.text("manifest.csv")? else {
            return Err(FileError::Format("the archive has no manifest.csv, which says what its files are".to_owned()));
        };
        let table = Table::parse("manifest.csv", &text, false)?;
        let property = |row: usize| (table.get(row, "propertyName").to_owned(), table.get(row, "value").to_owned());
        let manifest = Self((0..table.len()).map(property).collect());
        match manifest.value("oneroster.version") {
            Some("1.1" | "1.2") => Ok(manifest),
            version => Err(FileError::Format(format!(
                "manifest.csv: oneroster.version is {}; 1.1 and 1.2 are read",
                crate::header::shown(version.unwrap_or("missing"))
            ))),
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(property, _)| property.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// One file of the set, as the manifest announces it.
    fn table(&self, archive: &mut Archive<'_>, name: &str) -> Result<Option<Table>, FileError> {
        let file = format!("{name}.csv");
        let announced = self.value(&format!("file.{name}")).unwrap_or("absent").to_lowercase();
        let text = archive.text(&file)?;
        match (announced.as_str(), text) {
            ("absent", None) => Ok(None),
            (kind @ ("bulk" | "delta"), Some(text)) => Table::parse(&file, &text, kind == "delta").map(Some),
            ("bulk" | "delta", None) => {
                Err(FileError::Format(format!("manifest.csv announces {file}, and the archive does not have it")))
            }
            ("absent", Some(_)) => Err(FileError::Format(format!(
                "the archive has {file}, and manifest.csv says that it is absent: state it as bulk or delta"
            ))),
            _ => Err(FileError::Format(format!("manifest.csv: file.{name} is not one of bulk, delta, absent"))),
        }
    }
}

/// What `status` and `dateLastModified` of a row say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Active,
    /// Ended on this day.
    Ended(Date),
}

/// The day of a date or of a date and time (ISO 8601).
fn day(text: &str) -> Option<Date> {
    crate::parse_date(text.trim().get(..10)?)
}

#[cfg(test)]
mod tests;
