//! Imports, manual changes and runs of the lifecycle at once: no acknowledged change is lost, and no address has two
//! owners.

mod clerk;
mod complete;
mod registry;
mod versions;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;

use anyhow::{Context, bail, ensure};

use crate::Ran;
use crate::ldap::Ldap;
use clerk::{Acknowledged, Clerk};

/// People in a file of each source.
const PEOPLE: usize = 120;
const HEADER: &str = "person_id,given_name,family_name,affiliation,program,start_date,end_date\n";
/// Few names, so that both files want the same addresses.
const GIVEN: [&str; 4] = ["Ann", "Bo", "Zoé", "Ida"];
const FAMILY: [&str; 3] = ["Roy", "Côté", "Li"];
/// Manual changes that are made while the imports run.
const CHANGES: usize = 30;
/// Imports of one file until nothing is left to do.
const ROUNDS_MAX: usize = 20;

/// A site whose directory has many writers.
pub struct ConcurrentSite<'a> {
    /// Runs the program.
    pub provost: &'a (dyn Fn(&[&str]) -> anyhow::Result<Ran> + Sync),
    /// The directory, with an identity that reads everything.
    pub ldap: &'a Ldap,
    /// A folder for files to import.
    pub folder: &'a Path,
}

/// What one import reported.
#[derive(Debug)]
struct Imported {
    /// Lines of the people who were not applied.
    refused: Vec<usize>,
    /// Whether nothing was written.
    is_settled: bool,
}

impl ConcurrentSite<'_> {
    /// Partial files of two sources at once, twice: with new people, and with changed ones during manual changes and
    /// runs of the lifecycle.
    pub fn partial_files_of_two_sources(&self) -> anyhow::Result<()> {
        let first = [self.partial("a", "Arts")?, self.partial("b", "Arts")?];
        self.import_both(&first)?;
        self.each_address_has_one_owner(&["a:", "b:"], 2 * PEOPLE)?;

        let second = [self.partial("a", "Law")?, self.partial("b", "Law")?];
        let is_over = AtomicBool::new(false);
        let made = std::thread::scope(|scope| {
            let runs = scope.spawn(|| self.lifecycle_until(&is_over));
            let clerk = scope.spawn(|| self.change_people());
            let imported = self.import_both(&second);
            let made = joined(clerk);
            is_over.store(true, Ordering::Release);
            joined(runs)?;
            imported?;
            made
        })?;
        // What one writer left to another is done now.
        for (source, path) in &second {
            self.import_until_settled(source, path, &["--partial"])?;
        }
        self.patiently(&["lifecycle", "run"])?.good()?;

        self.each_address_has_one_owner(&["a:", "b:"], 2 * PEOPLE)?;
        made.iter().try_for_each(|change| change.check(self.ldap))?;
        let found = self.ldap.entries("(provostProgram=Law)", &["1.1"])?.len();
        ensure!(found == 2 * PEOPLE, "an import lost a change: {found} people have the new programme");
        Ok(())
    }

    /// A file of one source, with its source; `program` changes from file to file.
    fn partial(&self, source: &'static str, program: &str) -> anyhow::Result<(&'static str, String)> {
        let mut text = HEADER.to_owned();
        for number in 0..PEOPLE {
            let (given, family) = name(number);
            // Every tenth person has left, so that runs of the lifecycle have something to do.
            let end = if number % 10 == 0 { "2026-01-31" } else { "" };
            writeln!(text, "{source}{number},{given},{family},staff,{program},2020-01-01,{end}")?;
        }
        Ok((source, self.write(&format!("{source}-{program}.csv"), &text)?))
    }

    fn import_both(&self, files: &[(&'static str, String); 2]) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let import = |(source, path): &'_ (&'static str, String)| {
                let (source, path) = (*source, path.clone());
                scope.spawn(move || self.import_until_settled(source, &path, &["--partial"]))
            };
            let imports = files.each_ref().map(import);
            imports.into_iter().try_for_each(|import| joined(import).map(drop))
        })
    }

    /// Gives people an alias and a vacation rule, as the help desk does.
    fn change_people(&self) -> anyhow::Result<Vec<Acknowledged>> {
        let mut clerk = Clerk::new(self.provost);
        for number in 0..CHANGES {
            let key = format!("a:a{number}");
            clerk.give_alias(&key, &format!("desk.{number}@example.edu"))?;
            clerk.set_vacation(&key, "Absent until Monday")?;
        }
        Ok(clerk.acknowledged())
    }

    /// Runs the lifecycle again and again.
    fn lifecycle_until(&self, is_over: &AtomicBool) -> anyhow::Result<()> {
        while !is_over.load(Ordering::Acquire) {
            let ran = self.patiently(&["lifecycle", "run"])?;
            ensure!(matches!(ran.code, Some(0 | 4)), "{ran:?}");
        }
        Ok(())
    }

    /// Imports a file until nothing is left to do: a person whom another writer changed meanwhile is left to the next
    /// import.
    fn import_until_settled(&self, source: &str, path: &str, more: &[&str]) -> anyhow::Result<()> {
        for _ in 0..ROUNDS_MAX {
            if self.import(source, path, more)?.is_settled {
                return Ok(());
            }
        }
        bail!("the import of {path} does not settle")
    }

    /// Imports a file once.
    fn import(&self, source: &str, path: &str, more: &[&str]) -> anyhow::Result<Imported> {
        let ran = self.patiently(&[&["import", "--source", source, path], more].concat())?;
        ensure!(matches!(ran.code, Some(0 | 4)), "{ran:?}");
        let line = |line: &str| line.strip_prefix("line ")?.split_once(": not applied: ")?.0.parse().ok();
        let refused: Vec<usize> = ran.out.lines().filter_map(line).collect();
        Ok(Imported { refused, is_settled: ran.code == Some(0) && ran.out.contains("nothing to do") })
    }

    /// Runs a command again while a busy disk lets the directory's answers come too late: the same command continues.
    fn patiently(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        clerk::patiently(self.provost, arguments)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        Ok(path.to_str().context("the folder has a name in UTF-8")?.to_owned())
    }
}

/// Given and family name of the person of this number.
fn name(number: usize) -> (&'static str, &'static str) {
    (GIVEN[number % GIVEN.len()], FAMILY[number / GIVEN.len() % FAMILY.len()])
}

/// The result of a thread; a panic in it goes on here.
fn joined<T>(thread: ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
