//! The tests' own people: `test.p01` to `test.p99`, each with a password.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// How many people there are in all.
pub const PEOPLE: u32 = 99;

/// One person.
#[derive(Clone, Debug)]
pub struct SamplePerson {
    /// The person's number, 1 to [`PEOPLE`].
    pub number: u32,
}

impl SamplePerson {
    /// The person of this number.
    pub fn of(number: u32) -> Self {
        Self { number }
    }

    /// Login name.
    pub fn uid(&self) -> String {
        format!("test.p{:02}", self.number)
    }

    /// Primary address.
    pub fn mail(&self) -> String {
        format!("{}@example.edu", self.uid())
    }

    /// Password in the registrar's file.
    pub fn password(&self) -> String {
        format!("secret of p{:02}", self.number)
    }
}

/// The header of a registrar's file.
pub const HEADER: &str =
    "person_id,given_name,family_name,birth_date,private_email,affiliation,program,start_date,end_date,password\n";

/// Writes a registrar's file with the first `count` people. Most tests need few, and importing a person costs a
/// password hash.
pub fn write_first(folder: &Path, count: u32) -> anyhow::Result<PathBuf> {
    let mut text = HEADER.to_owned();
    for number in 1..=count {
        let person = SamplePerson::of(number);
        writeln!(
            text,
            "T{number:04},Test,P{number:02},2001-02-03,p{number}@example.net,student,Arts,2026-09-01,,{}",
            person.password()
        )?;
    }
    let file = folder.join("people.csv");
    fs::write(&file, text)?;
    Ok(file)
}
