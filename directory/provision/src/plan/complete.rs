//! Completes partial records, which state only what has changed, with what the directory holds.

use provost_schema::attr;

use super::actual::DirectoryContent;
use super::people::SourceIdState;
use super::person_name::PersonName;
use super::planner::{former_id, person_uuid};
use crate::source::{Affiliation, Column, RecordError, Source, SourceRecord, person_key};

/// Completes the names and the affiliation of records that do not state them. A record of somebody whom the directory
/// does not know is left out and reported.
pub fn complete(sources: &mut [Source], actual: &DirectoryContent) {
    for source in sources {
        let name = &source.name;
        let mut left_out = Vec::new();
        source.records.retain_mut(|record| {
            if record.lacking.is_empty() {
                return true;
            }
            match complete_record(name, record, actual) {
                Ok(()) => true,
                Err(words) => {
                    let column = record.lacking.iter().next().unwrap_or(Column::PersonId);
                    let problem = RecordError::error(record.line, column, "record.incomplete", words);
                    left_out.push((record.person_id.clone(), problem));
                    false
                }
            }
        });
        for (person_id, problem) in left_out {
            source.rejected_ids.push(person_id);
            source.rejected.push(problem);
        }
        source.rejected.sort_by_key(|problem| problem.line);
    }
}

fn complete_record(source: &str, record: &mut SourceRecord, actual: &DirectoryContent) -> Result<(), &'static str> {
    let ids = [Some(format!("{source}:{}", record.person_id)), former_id(source, record)];
    let person = ids.into_iter().flatten().find_map(|id| {
        match actual.known(&person_key(&id), || PersonName::OfId(person_uuid(&id))) {
            SourceIdState::One(person) => Some(person),
            SourceIdState::Nobody | SourceIdState::Many => None,
        }
    });
    let person =
        person.ok_or("the directory does not know this number: a new person needs names and an affiliation")?;
    for column in record.lacking.iter() {
        let attribute = match column {
            Column::GivenName => attr::GIVEN_NAME,
            Column::FamilyName => attr::SN,
            _ => attr::EDU_PERSON_PRIMARY_AFFILIATION,
        };
        let held = person.attribute(attribute).ok_or("the directory holds no value for it either")?;
        match column {
            Column::GivenName => record.given_name = held.into(),
            Column::FamilyName => record.family_name = held.into(),
            _ => record.affiliation = Affiliation::parse(held).ok_or("the directory holds an unknown affiliation")?,
        }
    }
    record.is_completed = true;
    Ok(())
}
