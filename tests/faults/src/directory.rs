//! Random histories of requests to the embedded directory and to a View that follows it, and checks of both after a
//! crash.
//!
//! One caller adds, renames and deletes people and sometimes saves the View. The people found after the crash must be
//! one of the sets that the marks permit. The View's file must load after an acknowledged save; its content is not
//! compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use provost_client::{Directory, DirectoryConfig, DirectoryError, LdapSearch, Scope, ServerRole, WriteConditions};
use provost_credential::{Scheme, Secret, hash};
use provost_entry::{AttributeDescription, Dn, Entry, Filter, Modification, ldif};
use provost_schema::{attr, class};
use provost_server::{Server, ServerConfig};
use provost_view::{Fallback, PasswordSource, View, ViewConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::mark::{HistoryMark, Marks, StepProgress};

const SUFFIX: &str = "dc=example,dc=edu";
const ROOT_DN: &str = "cn=root";
const PASSWORD: &str = "correct horse";
/// Number of steps of one history.
const STEPS: usize = 30;
const PEOPLE: u32 = 6;
/// Longest wait for a current View before a save.
const FOLLOW: Duration = Duration::from_secs(10);
/// The answer that a mark records for a refused write. Such a write has no effect.
const REFUSED: &str = "refused";
/// The number of the person that is added after a crash.
const ADDED_AFTER: u32 = 99;

/// One step of a history. The fields are the person's number and common name.
#[derive(Clone, Debug)]
enum DirectoryStep {
    Add(u32, String),
    /// Replaces the common name.
    Rename(u32, String),
    Delete(u32),
    SaveView,
}

/// People by number, with their common names.
type People = BTreeMap<u32, String>;

impl DirectoryStep {
    fn apply(&self, people: &mut People) {
        match self {
            Self::Add(number, name) => drop(people.entry(*number).or_insert_with(|| name.clone())),
            Self::Rename(number, name) => {
                if let Some(found) = people.get_mut(number) {
                    *found = name.clone();
                }
            }
            Self::Delete(number) => drop(people.remove(number)),
            Self::SaveView => (),
        }
    }
}

fn steps(seed: u64) -> Vec<DirectoryStep> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut step = |number: usize| {
        let (who, name) = (rng.random_range(1..=PEOPLE), format!("Name {number}"));
        match rng.random_range(0..10) {
            0..4 => DirectoryStep::Add(who, name),
            4..7 => DirectoryStep::Rename(who, name),
            7 => DirectoryStep::Delete(who),
            _ => DirectoryStep::SaveView,
        }
    };
    (0..STEPS).map(&mut step).collect()
}

fn container_dn(container: &str) -> Dn {
    Dn::parse(SUFFIX).unwrap().child("ou", container)
}

fn dn(number: u32) -> Dn {
    container_dn("people").child(attr::PROVOST_PERSON_ID, &format!("00000000-0000-4000-8000-{number:012}"))
}

fn person(number: u32, name: &str) -> Entry {
    let classes = [
        class::INET_ORG_PERSON,
        class::EDU_PERSON,
        class::INET_LOCAL_MAIL_RECIPIENT,
        class::MAIL_RECIPIENT,
        class::PROVOST_ACCOUNT,
    ];
    let entry = classes.into_iter().fold(Entry::new(dn(number)), |entry, class| entry.with(attr::OBJECT_CLASS, class));
    entry
        .with(attr::PROVOST_PERSON_ID, format!("00000000-0000-4000-8000-{number:012}"))
        .with(attr::CN, name)
        .with(attr::SN, "Sn")
        .with(attr::UID, format!("p{number}"))
        .with(attr::MAIL, format!("p{number}@example.edu"))
}

fn seed_entries() -> Vec<Entry> {
    let mut text =
        format!("dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Example\ndc: example\n\n");
    for ou in provost_schema::ou::ALL {
        text.push_str(&format!("dn: ou={ou},{SUFFIX}\nobjectClass: organizationalUnit\nou: {ou}\n\n"));
    }
    ldif::parse(&text).unwrap()
}

async fn start(root: &Path) -> anyhow::Result<(Server, Directory)> {
    let config = ServerConfig {
        folder: root.join("directory"),
        suffix: Dn::parse(SUFFIX)?,
        root_dn: Dn::parse(ROOT_DN)?,
        root_password: hash(&Secret::new(PASSWORD), Scheme::Ssha),
        listen: vec![([127, 0, 0, 1], 0).into()],
        tls: None,
        admission: None,
        server_id: 1,
    };
    let server = Server::start(config, seed_entries()).await?;
    let directory = client(&format!("ldap://{}", server.addresses[0]));
    Ok((server, directory))
}

fn client(url: &str) -> Directory {
    let server = provost_client::ServerAddress { url: url.to_owned(), role: ServerRole::Provider, start_tls: false };
    Directory::new(DirectoryConfig {
        servers: vec![server],
        bind_dn: ROOT_DN.into(),
        bind_password: PASSWORD.into(),
        suffix: Dn::parse(SUFFIX).unwrap(),
        ca_file: None,
        connect_timeout: Duration::from_secs(5),
        operation_timeout: Duration::from_secs(10),
    })
}

fn view(root: &Path, directory: Directory) -> View {
    let config = ViewConfig {
        file: root.join("view"),
        passwords: PasswordSource::View,
        credential_ttl: Duration::from_secs(600),
        fallback: Fallback::default(),
    };
    View::start(config, directory)
}

/// Makes the history of a seed, from step `from` on. The process runs under the file layer; `life` is the number of its
/// start, from 0.
///
/// # Errors
/// The marks file or the directory cannot be opened.
pub fn make_history(root: &Path, seed: u64, life: usize, from: usize) -> anyhow::Result<()> {
    let marks = Marks::open(root, life)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (server, directory) = start(root).await?;
        let view = view(root, directory.clone());
        for (number, step) in steps(seed).iter().enumerate().skip(from) {
            marks.record(0, number, &StepProgress::Begun);
            let progress = perform(&directory, &view, step).await;
            marks.record(0, number, &progress);
        }
        view.stop();
        drop((view, directory));
        server.stop().await;
        Ok(())
    })
}

async fn perform(directory: &Directory, view: &View, step: &DirectoryStep) -> StepProgress {
    let result = match step {
        DirectoryStep::Add(number, name) => directory.add(person(*number, name)).await.map(|receipt| receipt.csn),
        DirectoryStep::Rename(number, name) => {
            let changes =
                vec![Modification::replace(AttributeDescription::of(attr::CN), vec![name.clone().into_bytes()])];
            directory.modify(&dn(*number), changes, WriteConditions::default()).await.map(|receipt| receipt.csn)
        }
        DirectoryStep::Delete(number) => {
            directory.delete(&dn(*number), WriteConditions::default()).await.map(|()| None)
        }
        DirectoryStep::SaveView => return save(view).await,
    };
    match result {
        Ok(csn) => StepProgress::Answered(csn.unwrap_or_else(|| "done".into())),
        Err(DirectoryError::Unavailable(why) | DirectoryError::Unknown(why)) => {
            eprintln!("{step:?}: {why}");
            StepProgress::Unknown
        }
        Err(_) => StepProgress::Answered(REFUSED.into()),
    }
}

/// Saves the View once it is current, or after [`FOLLOW`].
async fn save(view: &View) -> StepProgress {
    let begin = std::time::Instant::now();
    while !view.status().current && begin.elapsed() < FOLLOW {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    match view.save().await {
        Ok(()) => StepProgress::Answered("saved".into()),
        Err(_) => StepProgress::NotDone,
    }
}

/// The check of one run.
pub struct DirectoryJudge {
    steps: Vec<DirectoryStep>,
    runtime: tokio::runtime::Runtime,
}

impl DirectoryJudge {
    /// The check for the history of a seed.
    pub fn new(seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { steps: steps(seed), runtime }
    }

    /// Opens a crash state and compares it with the marks up to the crash.
    ///
    /// # Errors
    /// A description of the fault.
    pub fn judge(&self, root: &Path, marks: &[HistoryMark]) -> Result<(), String> {
        self.runtime.block_on(async {
            self.judge_view(root, marks)?;
            let (server, directory) = start(root).await.map_err(|error| format!("does not open: {error:#}"))?;
            let verdict = self.judge_directory(&directory, marks).await;
            drop(directory);
            server.stop().await;
            verdict
        })
    }

    /// The View's file must load after an acknowledged save.
    fn judge_view(&self, root: &Path, marks: &[HistoryMark]) -> Result<(), String> {
        let saves = |mark: &&HistoryMark| matches!(self.steps[mark.step], DirectoryStep::SaveView);
        let saved = marks.iter().filter(saves).any(|mark| matches!(mark.progress, StepProgress::Answered(_)));
        let view = view(root, client("ldap://127.0.0.1:1"));
        view.stop();
        match (saved, view.status().complete) {
            (true, false) => Err("the View's file is lost or damaged".into()),
            _ => Ok(()),
        }
    }

    async fn judge_directory(&self, directory: &Directory, marks: &[HistoryMark]) -> Result<(), String> {
        let possible = self.possible(marks);
        let (found, found_csn) = people(directory).await.map_err(|error| error.to_string())?;
        if !possible.contains(&found) {
            return Err(format!("found {found:?}\nexpected one of {possible:?}"));
        }
        // A consumer whose cookie has a CSN relies on this: a new CSN is greater than all earlier ones.
        let added = directory
            .add(person(ADDED_AFTER, "After"))
            .await
            .map_err(|error| format!("does not accept changes: {error}"))?;
        let acknowledged = marks.iter().filter_map(|mark| match &mark.progress {
            StepProgress::Answered(csn) if csn.contains('#') => Some(csn.clone()),
            _ => None,
        });
        let last = acknowledged.chain(found_csn).max();
        match (&added.csn, last) {
            (Some(csn), Some(last)) if *csn <= last => Err(format!("CSN {csn} after {last}")),
            _ => Ok(()),
        }
    }

    fn possible(&self, marks: &[HistoryMark]) -> Vec<People> {
        let (mut possible, mut under_way): (Vec<People>, Option<usize>) = (vec![People::new()], None);
        let doubt = |possible: &mut Vec<People>, step: Option<usize>| {
            let Some(step) = step else { return };
            let mut with = possible.clone();
            with.iter_mut().for_each(|people| self.steps[step].apply(people));
            possible.extend(with);
            possible.sort();
            possible.dedup();
        };
        for mark in marks {
            match &mark.progress {
                StepProgress::Begun => {
                    doubt(&mut possible, under_way.take());
                    under_way = Some(mark.step);
                }
                StepProgress::Unknown => doubt(&mut possible, under_way.take()),
                StepProgress::NotDone => under_way = None,
                StepProgress::Answered(answer) => {
                    under_way = None;
                    if answer != REFUSED {
                        possible.iter_mut().for_each(|people| self.steps[mark.step].apply(people));
                    }
                }
            }
        }
        doubt(&mut possible, under_way);
        possible
    }
}

/// All people, and the greatest CSN.
async fn people(directory: &Directory) -> Result<(People, Option<String>), DirectoryError> {
    let search = LdapSearch {
        base: container_dn("people"),
        scope: Scope::Subtree,
        filter: Filter::present(attr::PROVOST_PERSON_ID),
        attributes: vec!["*".into(), "entryCSN".into()],
        limit: None,
    };
    let (mut people, mut last) = (People::new(), None);
    for entry in directory.search(search).await? {
        let text = |name: &str| entry.first(name).map(str::to_owned);
        let number = text(attr::UID).and_then(|uid| uid.strip_prefix('p')?.parse().ok()).unwrap();
        people.insert(number, text(attr::CN).unwrap());
        last = last.max(text("entryCSN"));
    }
    Ok((people, last))
}
