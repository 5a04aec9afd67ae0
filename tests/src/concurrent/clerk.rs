//! Manual changes, repeated until they are acknowledged.

use anyhow::{Context, bail, ensure};

use crate::Ran;
use crate::ldap::Ldap;

/// Tries of one change: another writer may be faster each time.
const TRIES_MAX: usize = 500;

/// Exit code: the directory is unavailable.
const UNAVAILABLE: Option<i32> = Some(5);
/// Times that a command finds the directory unavailable.
const UNAVAILABLE_MAX: usize = 20;
/// An attribute of one value that several people set.
const MESSAGE_SIZE: &str = "provostMessageSize";

/// Runs the program.
pub(super) type Provost<'a> = dyn Fn(&[&str]) -> anyhow::Result<Ran> + Sync + 'a;

/// A value that an acknowledged change has put into the directory or taken out of it.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    /// Finds the entry.
    filter: String,
    attribute: &'static str,
    value: String,
    is_present: bool,
}

impl Acknowledged {
    /// Whether the directory shows the change.
    pub(super) fn check(&self, ldap: &Ldap) -> anyhow::Result<()> {
        let entries = ldap.entries(&self.filter, &[self.attribute])?;
        let [entry] = &entries[..] else { bail!("{} entries match {}", entries.len(), self.filter) };
        let is_present = entry.texts(self.attribute).any(|held| held.starts_with(&self.value));
        ensure!(is_present == self.is_present, "lost: {self:?} in {entry:?}");
        Ok(())
    }
}

/// Checks the changes of several people. Where two of them set the same value, the later one holds.
pub(super) fn check_all(made: &[Acknowledged], ldap: &Ldap) -> anyhow::Result<()> {
    for change in made {
        let others = |other: &&Acknowledged| {
            other.attribute == MESSAGE_SIZE && other.filter == change.filter && other.value != change.value
        };
        let is_replaced = || made.iter().filter(others).any(|other| other.check(ldap).is_ok());
        match change.check(ldap) {
            Err(error) if change.attribute != MESSAGE_SIZE || !is_replaced() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Runs a command again while the directory is unavailable.
pub(super) fn patiently(provost: &Provost<'_>, arguments: &[&str]) -> anyhow::Result<Ran> {
    for _ in 1..UNAVAILABLE_MAX {
        let ran = provost(arguments)?;
        if ran.code != UNAVAILABLE {
            return Ok(ran);
        }
    }
    provost(arguments)
}

/// Somebody who makes manual changes, and knows which ones were acknowledged.
pub(super) struct Clerk<'a> {
    provost: &'a Provost<'a>,
    made: Vec<Acknowledged>,
}

impl<'a> Clerk<'a> {
    pub(super) fn new(provost: &'a Provost<'a>) -> Self {
        Self { provost, made: Vec::new() }
    }

    /// The state that the changes leave, each of them the last one about its value.
    pub(super) fn acknowledged(self) -> Vec<Acknowledged> {
        self.made
    }

    pub(super) fn give_alias(&mut self, person: &str, alias: &str) -> anyhow::Result<()> {
        self.run(&["address", "add", person, alias])?;
        self.note(of_person(person), "mailLocalAddress", alias, true);
        Ok(())
    }

    pub(super) fn take_alias(&mut self, person: &str, alias: &str) -> anyhow::Result<()> {
        self.run(&["address", "remove", person, alias])?;
        self.note(of_person(person), "mailLocalAddress", alias, false);
        Ok(())
    }

    pub(super) fn set_vacation(&mut self, person: &str, text: &str) -> anyhow::Result<()> {
        self.run(&["vacation", "set", person, "--text-en", text])?;
        self.note(of_person(person), "mailAutoReplyText;lang-en", text, true);
        Ok(())
    }

    pub(super) fn forward(&mut self, person: &str, to: &str) -> anyhow::Result<()> {
        self.run(&["person", "forward", person, "--to", to])?;
        self.note(of_person(person), "mailForwardingAddress", to, true);
        Ok(())
    }

    pub(super) fn suspend(&mut self, person: &str, lock: &str) -> anyhow::Result<()> {
        self.run(&["person", "suspend", person, "--lock", lock, "--reason", "lost device"])?;
        self.note(of_person(person), "provostLock", lock, true);
        Ok(())
    }

    /// Releases a lock that this person has.
    pub(super) fn release(&mut self, person: &str, lock: &str) -> anyhow::Result<()> {
        self.run(&["person", "release", person, "--lock", lock])?;
        self.note(of_person(person), "provostLock", lock, false);
        Ok(())
    }

    /// Adds a person, whose entry is `dn`, to a group.
    pub(super) fn add_person(&mut self, group: &str, person: &str, dn: &str) -> anyhow::Result<()> {
        self.run(&["group", "add", group, person])?;
        self.note(of_group(group), "member", dn, true);
        Ok(())
    }

    /// Adds an address elsewhere to a group.
    pub(super) fn add_elsewhere(&mut self, group: &str, address: &str) -> anyhow::Result<()> {
        self.run(&["group", "add", group, address])?;
        self.note(of_group(group), "provostTarget", address, true);
        Ok(())
    }

    pub(super) fn remove_elsewhere(&mut self, group: &str, address: &str) -> anyhow::Result<()> {
        self.run(&["group", "remove", group, address])?;
        self.note(of_group(group), "provostTarget", address, false);
        Ok(())
    }

    /// Lets this address send to a group, besides `members`.
    pub(super) fn set_poster(&mut self, group: &str, poster: &str) -> anyhow::Result<()> {
        self.run(&["group", "set", group, "--post", "members", "--post", poster])?;
        self.made.retain(|made| made.filter != of_group(group) || made.attribute != "provostPoster");
        self.note(of_group(group), "provostPoster", poster, true);
        Ok(())
    }

    pub(super) fn set_message_size(&mut self, group: &str, octets: usize) -> anyhow::Result<()> {
        let octets = octets.to_string();
        self.run(&["group", "set", group, "--message-size", &octets])?;
        self.made.retain(|made| made.filter != of_group(group) || made.attribute != MESSAGE_SIZE);
        self.note(of_group(group), MESSAGE_SIZE, &octets, true);
        Ok(())
    }

    fn note(&mut self, filter: String, attribute: &'static str, value: &str, is_present: bool) {
        self.made.retain(|made| (&made.filter, made.attribute, made.value.as_str()) != (&filter, attribute, value));
        self.made.push(Acknowledged { filter, attribute, value: value.to_owned(), is_present });
    }

    /// Makes a change as soon as no other writer is faster.
    fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        for _ in 0..TRIES_MAX {
            let ran = patiently(self.provost, arguments)?;
            if ran.code == Some(0) {
                return Ok(());
            }
            ensure!(ran.code == Some(1) && ran.err.contains("changed meanwhile"), "{arguments:?}: {ran:?}");
        }
        None.with_context(|| format!("others were faster {TRIES_MAX} times: {arguments:?}"))
    }
}

fn of_person(key: &str) -> String {
    format!("(provostSourceId={key})")
}

fn of_group(name: &str) -> String {
    format!("(&(objectClass=provostGroup)(cn={name}))")
}
