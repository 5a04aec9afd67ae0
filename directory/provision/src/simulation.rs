//! Runs years of files and lifecycle on a copy of the directory in memory, in seconds.
//!
//! A simulation plans with the same functions as an import and a run of the lifecycle, and applies the plans to entries
//! in memory. Nothing happens between two events, so a person is looked at only when a file names them, a state ends or
//! a notice is due.

mod world;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use provost_entry::{AttributeDescription, Dn, Entry};
use provost_lifecycle::{AccountState, decide, due_notice, next_moment};
use provost_schema::attr;

use self::world::World;
use crate::lifecycle::{LifecycleRules, Purge, is_closed, lifecycle_facts, quarantine_days};
use crate::plan::{PlanError, PlanSummary, plan};
use crate::source::Source;
use crate::{Policies, wanted};

/// What a simulation needs besides the entries.
#[derive(Clone)]
pub struct SimulationSettings {
    /// Suffix of the directory.
    pub suffix: Dn,
    /// The rules, with the lifecycle policies of all years.
    pub policies: Policies,
    /// Days for which nobody gets an address that was taken from its owner.
    pub quarantine_days: u16,
}

/// Something that happened to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedEvent {
    /// Moment at which it happened.
    pub at: Timestamp,
    /// DN of the person's entry.
    pub person: Dn,
    /// The kind of event, with what belongs to it.
    pub what: SimulatedChange,
}

/// The kind of an event of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimulatedChange {
    /// The person was created, with this primary address.
    Created(String),
    /// The account has another state.
    State(AccountState),
    /// A notice was sent: the change that it announces, and the days before it.
    Notice(String, u16),
    /// The account was purged, with these addresses.
    Purged(Vec<String>),
}

/// A copy of a directory, and the moment up to which it was simulated.
pub struct Simulation {
    settings: SimulationSettings,
    world: World,
    now: Timestamp,
    /// The next moment of each person at which something may be due.
    due: BinaryHeap<Reverse<(Timestamp, Dn)>>,
    /// The moment that counts for a person; others in `due` are outdated.
    next: HashMap<Dn, Timestamp>,
    events: Vec<SimulatedEvent>,
}

impl Simulation {
    /// Begins at `now` with these entries of people and addresses.
    pub fn new(settings: SimulationSettings, entries: impl IntoIterator<Item = Entry>, now: Timestamp) -> Self {
        let world = World::of(entries);
        let people = world.people().map(|entry| entry.dn.clone()).collect::<Vec<_>>();
        let mut simulation =
            Self { settings, world, now, due: BinaryHeap::new(), next: HashMap::new(), events: Vec::new() };
        people.into_iter().for_each(|dn| simulation.schedule(dn, now));
        simulation
    }

    /// What has happened so far, in order.
    pub fn events(&self) -> &[SimulatedEvent] {
        &self.events
    }

    /// The person's entry as it is now; `None` when there is none, or no more.
    pub fn person(&self, dn: &Dn) -> Option<&Entry> {
        self.world.entry(dn)
    }

    /// All people as they are now.
    pub fn people(&self) -> impl Iterator<Item = &Entry> {
        self.world.people()
    }

    /// Runs up to `at`, then imports a source as a file of that moment.
    pub fn import(&mut self, source: Source, at: Timestamp) -> Result<PlanSummary, PlanError> {
        self.run_until(at);
        self.world.end_addresses(at, &self.settings);
        let sources = [source];
        let actual = self.world.content(&self.settings.suffix);
        let plan = plan(&wanted(&sources, &self.settings.policies, at).without_absences(), &actual)?;
        for change in plan.changes() {
            let Some(person) = change.writes.iter().find(|write| write.is_of_person()) else { continue };
            let (dn, former) = (person.dn.clone(), self.state_of(&person.dn));
            change.writes.iter().for_each(|write| self.world.apply(write, at));
            if let Some(mail) = self.world.entry(&dn).and_then(|entry| entry.first(attr::MAIL)).map(str::to_owned)
                && former.is_none()
            {
                self.events.push(SimulatedEvent { at, person: dn.clone(), what: SimulatedChange::Created(mail) });
            }
            self.note_state(&dn, former.as_deref(), at);
            self.schedule(dn, at);
        }
        Ok(plan.summary().clone())
    }

    /// Runs the lifecycle up to `until`.
    pub fn run_until(&mut self, until: Timestamp) {
        while let Some(Reverse((at, _))) = self.due.peek() {
            if *at > until {
                break;
            }
            let Some(Reverse((at, dn))) = self.due.pop() else { break };
            if self.next.get(&dn) == Some(&at) {
                self.next.remove(&dn);
                self.run_person(dn, at);
            }
        }
        self.now = self.now.max(until);
    }

    /// One person at one moment, as a run of the lifecycle treats them.
    fn run_person(&mut self, dn: Dn, at: Timestamp) {
        let Some(entry) = self.world.entry(&dn).cloned() else { return };
        let rules = self.rules(at);
        let Some(compared) = rules.compare(&entry) else { return };
        let former = self.state_of(&dn);
        let is_settled = compared.attributes.is_empty();
        self.world.set(&dn, &compared.attributes);
        self.note_state(&dn, former.as_deref(), at);
        self.send_notice(&dn, &rules);
        if is_settled && is_closed(&entry) && compared.decision.is_to_be_purged_at(at) {
            self.purge(&entry, &rules);
            return;
        }
        let facts = lifecycle_facts(self.world.entry(&dn).unwrap_or(&entry), at);
        let Some(decision) = decide(&facts, &rules.policies, at, &rules.zone) else { return };
        if decision.is_to_be_purged_at(at) {
            self.schedule(dn, at);
        } else if let Some(next) = next_moment(&decision, &rules.policies, at, &rules.zone) {
            self.schedule(dn, next);
        }
    }

    fn send_notice(&mut self, dn: &Dn, rules: &LifecycleRules) {
        let Some(entry) = self.world.entry(dn) else { return };
        let (facts, now) = (lifecycle_facts(entry, rules.now), rules.now);
        let Some(decision) = decide(&facts, &rules.policies, now, &rules.zone) else { return };
        let Some(notice) = due_notice(&decision, &facts, &rules.policies, now, &rules.zone) else { return };
        let what = SimulatedChange::Notice(notice.event(), notice.days);
        self.world.add_value(dn, attr::PROVOST_NOTICE, &notice.sent(now).to_string());
        self.events.push(SimulatedEvent { at: now, person: dn.clone(), what });
    }

    fn purge(&mut self, entry: &Entry, rules: &LifecycleRules) {
        let addresses = self.world.addresses_of(&self.settings.suffix, entry);
        let purge = Purge {
            person: entry,
            addresses: &addresses,
            quarantine_days: quarantine_days(&rules.policies, entry, rules.now, self.settings.quarantine_days),
            mail_days: 0,
            words: String::new(),
        };
        let Some(change) = purge.change(&self.settings.suffix, rules.now, &rules.zone) else { return };
        change.writes.iter().for_each(|write| self.world.apply(write, rules.now));
        let names = addresses.iter().filter_map(|address| address.first(attr::PROVOST_ADDRESS)).map(str::to_owned);
        let what = SimulatedChange::Purged(names.collect());
        self.events.push(SimulatedEvent { at: rules.now, person: entry.dn.clone(), what });
    }

    fn rules(&self, now: Timestamp) -> LifecycleRules {
        let Policies { lifecycle, time_zone, .. } = &self.settings.policies;
        LifecycleRules { policies: Arc::clone(lifecycle), zone: time_zone.clone(), now }
    }

    fn state_of(&self, dn: &Dn) -> Option<String> {
        self.world.entry(dn)?.first(attr::PROVOST_STATE).map(str::to_owned)
    }

    fn note_state(&mut self, dn: &Dn, former: Option<&str>, at: Timestamp) {
        let state = self.state_of(dn).filter(|state| former != Some(state));
        if let Some(state) = state.and_then(|state| AccountState::parse(&state)) {
            self.events.push(SimulatedEvent { at, person: dn.clone(), what: SimulatedChange::State(state) });
        }
    }

    fn schedule(&mut self, dn: Dn, at: Timestamp) {
        self.due.push(Reverse((at, dn.clone())));
        self.next.insert(dn, at);
    }
}

/// The entryUUID of a person who exists in a simulation only.
fn simulated_uuid(dn: &Dn) -> uuid::Uuid {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_X500, dn.as_str().as_bytes())
}

fn description(name: &'static str) -> AttributeDescription {
    AttributeDescription::of(name)
}
