//! Simulates files that are still to come, on a copy of the directory in memory.

use std::collections::HashMap;

use jiff::Timestamp;
use provost_client::{DirectoryError, LdapSearch, Scope};
use provost_entry::{Dn, Entry, Filter};
use provost_schema::{attr, class};

use super::source_profile::read_source_profile;
use super::{Desk, ImportError, ImportOptions};
use crate::policy_documents::read_policies;
use crate::simulation::{SimulatedChange, SimulatedEvent, Simulation, SimulationSettings};
use crate::source::Source;
use crate::{Permission, PlanSummary, Policies, Principal, read_file, tree};

/// A file of a simulation.
#[derive(Clone, Debug)]
pub struct SimulatedFeed {
    /// The moment at which it is imported.
    pub at: Timestamp,
    /// The octets of the file, in the form that the profile states.
    pub file: Vec<u8>,
}

/// What happened in a simulation.
#[derive(Clone, Debug)]
pub struct SimulationReport {
    /// What each file changed, in the order of their moments.
    pub feeds: Vec<(Timestamp, PlanSummary)>,
    /// The events with the primary address of each person, in order.
    pub events: Vec<(String, SimulatedEvent)>,
}

impl Desk {
    /// Imports files at their moments into a copy of the directory, with runs of the lifecycle between them up to
    /// `until`. Reads the directory as it is now; writes nothing.
    pub async fn simulate_feeds(
        &self,
        principal: &Principal,
        mut feeds: Vec<SimulatedFeed>,
        options: ImportOptions,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<SimulationReport, ImportError> {
        self.permit(principal, Permission::PlanImport).await?;
        feeds.sort_by_key(|feed| feed.at);
        let settings = self.settings.get();
        let name = options.source.as_deref().unwrap_or(&settings.source);
        let profile = read_source_profile(&self.directory, name).await?;
        let lifecycle = read_policies(&self.directory).await.map_err(super::DeskError::from)?;
        let suffix = self.directory.suffix().clone();
        let mut entries = self.all_of(tree::people(&suffix), class::PROVOST_ACCOUNT).await?;
        entries.extend(self.all_of(tree::addresses(&suffix), class::PROVOST_ADDRESS_ENTRY).await?);
        let simulated = tokio::task::spawn_blocking(move || {
            let settings = SimulationSettings {
                suffix,
                policies: Policies::from(&settings).with_lifecycle(lifecycle),
                quarantine_days: settings.address_quarantine,
            };
            let sources = feeds.into_iter().map(|feed| Ok((feed.at, read_file(&profile, &feed.file, &options.read)?)));
            run(settings, entries, sources, (from, until))
        });
        simulated.await?
    }

    async fn all_of(&self, base: Dn, class: &'static str) -> Result<Vec<Entry>, ImportError> {
        let search = LdapSearch {
            base,
            scope: Scope::One,
            filter: Filter::equal(attr::OBJECT_CLASS, class),
            attributes: vec!["*".to_owned(), attr::ENTRY_UUID.to_owned(), attr::ENTRY_CSN.to_owned()],
            limit: None,
        };
        match self.directory.search_newest(search).await {
            Ok((entries, _)) => Ok(entries),
            Err(DirectoryError::NoSuchObject(_)) => Ok(Vec::new()),
            Err(error) => Err(super::DeskError::from(error).into()),
        }
    }
}

fn run(
    settings: SimulationSettings,
    entries: Vec<Entry>,
    sources: impl Iterator<Item = Result<(Timestamp, Source), ImportError>>,
    (from, until): (Timestamp, Timestamp),
) -> Result<SimulationReport, ImportError> {
    let mut names: HashMap<Dn, String> = HashMap::new();
    for entry in &entries {
        names.extend(entry.first(attr::MAIL).map(|mail| (entry.dn.clone(), mail.to_owned())));
    }
    let mut simulation = Simulation::new(settings, entries, from);
    let mut feeds = Vec::new();
    for source in sources {
        let (at, source) = source?;
        feeds.push((at, simulation.import(source, at)?));
    }
    simulation.run_until(until);
    let named = |event: &SimulatedEvent| {
        if let SimulatedChange::Created(mail) = &event.what {
            names.insert(event.person.clone(), mail.clone());
        }
        (names.get(&event.person).cloned().unwrap_or_else(|| event.person.to_string()), event.clone())
    };
    let events = simulation.events().iter().map(named).collect();
    Ok(SimulationReport { feeds, events })
}
