//! Complete files of one source and files of classes at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};

use super::clerk::{Acknowledged, Clerk, check_all};
use super::versions::{CLASSES, Edition, Version};
use super::{ConcurrentSite, joined};

/// Rounds after the first file; each one is another chance for the writers to meet.
const ROUNDS: usize = 2;
/// People whom two members of the help desk change.
const CHANGED: usize = 8;
/// The group of a class that changes by hand while files change its members.
const CLASS: &str = "phy100-a-fall-2037";

/// The files of one version.
struct Files {
    edition: Edition,
    people: String,
    classes: String,
}

impl ConcurrentSite<'_> {
    /// Two registrars import their versions of the complete file and of the file of classes at once, another source
    /// imports classes of the same names, the help desk changes people and groups, and the lifecycle runs.
    pub fn complete_files_and_classes(&self) -> anyhow::Result<()> {
        for source in ["timetable", "labs"] {
            let profile =
                self.write(&format!("{source}.source"), "format enrolments\nnumbers-of reg\nclass-loss 100\n")?;
            self.patiently(&["source", "set", source, &profile])?.good()?;
        }
        self.merge(0)?;
        self.patiently(&["group", "create", "desk", "--address", "desk-list@example.edu"])?.good()?;
        for round in 1..=ROUNDS {
            let (left, right) = (self.files(round, Version::Left)?, self.files(round, Version::Right)?);
            let made = self.all_at_once(&left, &right)?;
            check_all(&made, self.ldap)?;
            self.settle(&[left, right])?;
            self.merge(round)?;
            self.patiently(&["lifecycle", "run"])?.good()?;
            check_all(&made, self.ldap)?;
            self.each_address_has_one_owner(&["reg:"], Edition { round, version: Version::Merged }.numbers().len())?;
            self.each_class_has_its_address()?;
        }
        Ok(())
    }

    fn files(&self, round: usize, version: Version) -> anyhow::Result<Files> {
        let edition = Edition { round, version };
        let people = self.write(&format!("people-{round}-{version:?}.csv"), &edition.people())?;
        let classes = self.write(&format!("classes-{round}-{version:?}.csv"), &edition.classes("c"))?;
        Ok(Files { edition, people, classes })
    }

    /// Every writer once. Returns the changes by hand.
    fn all_at_once(&self, left: &Files, right: &Files) -> anyhow::Result<Vec<Acknowledged>> {
        let round = left.edition.round;
        let labs = self.write(&format!("labs-{round}.csv"), &right.edition.classes("l"))?;
        let people = self.people()?;
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let runs = scope.spawn(|| self.lifecycle_until(&is_over));
            let versions = [left, right].map(|files| scope.spawn(|| self.import("reg", &files.people, &[])));
            let classes = [("timetable", &left.classes), ("timetable", &right.classes), ("labs", &labs)];
            let classes = classes.map(|(source, path)| scope.spawn(move || self.import(source, path, &[])));
            let clerks = [
                scope.spawn(|| self.give_and_forward(round)),
                scope.spawn(|| self.suspend_and_answer(round)),
                scope.spawn(|| self.add_members(round, &people)),
                scope.spawn(|| self.set_rules(round)),
            ];
            let made: anyhow::Result<Vec<Vec<Acknowledged>>> = clerks.into_iter().map(joined).collect();
            let versions = versions.map(joined);
            let classes = classes.map(joined);
            is_over.store(true, Ordering::Release);
            joined(runs)?;
            classes.into_iter().try_for_each(|imported| imported.map(drop))?;
            for (files, imported) in [left, right].into_iter().zip(versions) {
                self.refused_people_are_untouched(files.edition, &imported?.refused)?;
            }
            Ok(made?.concat())
        })
    }

    fn give_and_forward(&self, round: usize) -> anyhow::Result<Vec<Acknowledged>> {
        let mut clerk = Clerk::new(self.provost);
        for number in 0..CHANGED {
            let (key, alias) = (format!("reg:{number}"), format!("desk.{round}.{number}@example.edu"));
            clerk.give_alias(&key, &alias)?;
            clerk.forward(&key, &format!("r{round}.{number}@example.net"))?;
            if number % 3 == 0 {
                clerk.take_alias(&key, &alias)?;
            }
        }
        Ok(clerk.acknowledged())
    }

    fn suspend_and_answer(&self, round: usize) -> anyhow::Result<Vec<Acknowledged>> {
        let mut clerk = Clerk::new(self.provost);
        for number in 0..CHANGED {
            let key = format!("reg:{number}");
            clerk.suspend(&key, &format!("lost-{round}"))?;
            clerk.set_vacation(&key, &format!("Absent in week {round}"))?;
            if number % 2 == 0 {
                clerk.release(&key, &format!("lost-{round}"))?;
            }
        }
        Ok(clerk.acknowledged())
    }

    fn add_members(&self, round: usize, people: &HashMap<String, String>) -> anyhow::Result<Vec<Acknowledged>> {
        let mut clerk = Clerk::new(self.provost);
        for number in 0..CHANGED {
            let key = format!("reg:{}", number + round * CHANGED);
            clerk.add_person("desk", &key, people.get(&key).with_context(|| key.clone())?)?;
            clerk.set_message_size("desk", 100_000 + number)?;
            clerk.set_message_size(CLASS, 10_000 * round + number)?;
        }
        Ok(clerk.acknowledged())
    }

    fn set_rules(&self, round: usize) -> anyhow::Result<Vec<Acknowledged>> {
        let mut clerk = Clerk::new(self.provost);
        for number in 0..CHANGED {
            let guest = format!("guest.{round}.{number}@example.org");
            clerk.add_elsewhere("desk", &guest)?;
            clerk.set_message_size("desk", 200_000 + number)?;
            clerk.set_poster(CLASS, &guest)?;
            if number % 2 == 0 {
                clerk.remove_elsewhere("desk", &guest)?;
            }
        }
        Ok(clerk.acknowledged())
    }

    /// Nobody has the programme that only one version states when the import of that version did not apply them.
    fn refused_people_are_untouched(&self, edition: Edition, lines: &[usize]) -> anyhow::Result<()> {
        println!("{edition:?}: {} people changed meanwhile", lines.len());
        let numbers = edition.numbers();
        for line in lines {
            let number = line.checked_sub(2).and_then(|place| numbers.get(place)).context("no such line")?;
            if !edition.changes(*number) {
                continue;
            }
            let (id, program) = (format!("reg:{number}"), edition.program(*number));
            let found = self.ldap.entries(&format!("(&(provostSourceId={id})(provostProgram={program}))"), &["1.1"])?;
            ensure!(found.is_empty(), "{id} was changed, and the import reported the opposite");
        }
        Ok(())
    }

    /// Imports each version again until it writes nothing more; one is refused as older than the other.
    fn settle(&self, versions: &[Files]) -> anyhow::Result<()> {
        let mut settled = [0, 0];
        for files in versions {
            if !self.is_older("reg", &files.people)? {
                self.import_until_settled("reg", &files.people, &[])?;
                self.everybody_is_as_in(files.edition)?;
                settled[0] += 1;
            }
            if !self.is_older("timetable", &files.classes)? {
                self.import_until_settled("timetable", &files.classes, &[])?;
                settled[1] += 1;
            }
        }
        ensure!(settled.iter().all(|count| *count > 0), "both versions are refused as the older one");
        Ok(())
    }

    /// Whether a file is refused because another one of its source came later.
    fn is_older(&self, source: &str, path: &str) -> anyhow::Result<bool> {
        let ran = self.patiently(&["import", "--source", source, path, "--dry-run"])?;
        Ok(ran.code == Some(1) && ran.err.contains("another one since"))
    }

    /// Imports the files that put all versions of a round together, until nothing is left to do.
    fn merge(&self, round: usize) -> anyhow::Result<()> {
        let files = self.files(round, Version::Merged)?;
        self.import_until_settled("reg", &files.people, &[])?;
        self.everybody_is_as_in(files.edition)?;
        self.import_until_settled("timetable", &files.classes, &[])?;
        let labs = self.write(&format!("labs-{round}-merged.csv"), &files.edition.classes("l"))?;
        self.import_until_settled("labs", &labs, &[])?;
        let people = self.people()?;
        for (source, prefix) in [("timetable", 'c'), ("labs", 'l')] {
            for class in 0..=CLASSES {
                self.class_is_as_in(files.edition, &format!("{source}:{prefix}{class}"), class, &people)?;
            }
        }
        Ok(())
    }

    /// The DN of each person, by the number of the source.
    fn people(&self) -> anyhow::Result<HashMap<String, String>> {
        let entries = self.ldap.entries("(objectClass=provostAccount)", &["provostSourceId"])?;
        let of_entry = |entry: &crate::ldap::FoundEntry| {
            entry.texts("provostSourceId").map(|id| (id.to_owned(), entry.dn.clone())).collect::<Vec<_>>()
        };
        Ok(entries.iter().flat_map(of_entry).collect())
    }

    fn everybody_is_as_in(&self, edition: Edition) -> anyhow::Result<()> {
        let entries = self.ldap.entries("(objectClass=provostAccount)", &["provostSourceId", "provostProgram"])?;
        for number in edition.numbers() {
            let (id, program) = (format!("reg:{number}"), edition.program(number));
            let entry = entries.iter().find(|entry| entry.texts("provostSourceId").any(|held| held == id));
            let entry = entry.with_context(|| format!("{id} is missing"))?;
            ensure!(entry.texts("provostProgram").eq([program.as_str()]), "{edition:?}, {id}: {entry:?}");
        }
        Ok(())
    }

    fn class_is_as_in(
        &self,
        edition: Edition,
        id: &str,
        class: usize,
        people: &HashMap<String, String>,
    ) -> anyhow::Result<()> {
        let found = self.ldap.entries(&format!("(&(objectClass=provostGroup)(provostSourceId={id}))"), &["member"])?;
        let [group] = &found[..] else { anyhow::bail!("{} groups for {id}", found.len()) };
        let held: BTreeSet<&str> = group.texts("member").collect();
        let numbers = edition.members(class).into_iter();
        let wanted: BTreeSet<&str> =
            numbers.filter_map(|number| people.get(&format!("reg:{number}")).map(String::as_str)).collect();
        ensure!(held == wanted, "{id}: {held:?}, not {wanted:?}");
        Ok(())
    }

    /// The group of each class has the address of its name.
    fn each_class_has_its_address(&self) -> anyhow::Result<()> {
        let owners = self.address_owners()?;
        for group in self.ldap.entries("(provostGroupKind=enrolment)", &["cn"])? {
            let name = group.texts("cn").next().with_context(|| format!("{group:?}"))?;
            let owner = owners.get(&format!("{name}@example.edu"));
            ensure!(owner == Some(&group.dn), "the address of the class {name} belongs to {owner:?}");
        }
        Ok(())
    }
}
