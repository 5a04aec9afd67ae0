//! One run: a recorded history, and its crash states. A *cut* is the number of recorded calls before a crash.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use crate::disk::{self, Disk, FailedSync, Image, Loss};
use crate::mark::{self, HistoryMark, StepProgress};
use crate::record::{self, CallRecord, FileCall};

/// The part of Provost on which a run performs its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunSubject {
    /// The store with its queue.
    Store,
    /// The embedded directory, and a View that follows it.
    Directory,
}

impl RunSubject {
    fn word(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Directory => "directory",
        }
    }
}

/// Factor by which some cuts are more likely to be checked: see [`RecordedRun::weights`].
const LIKELIER: f64 = 8.0;
/// Number of cuts after the first kill that have this factor.
const AFTER_KILL: usize = 80;

/// A recorded run.
pub struct RecordedRun {
    /// Every call, without the marks.
    pub calls: Vec<CallRecord>,
    /// The marks, with the number of calls before each.
    pub marks: Vec<(usize, HistoryMark)>,
    /// The watched folder in its final state.
    pub root: PathBuf,
    _folder: TempDir,
}

/// A temporary folder in which syncs are cheap: in memory where the system has a file system for that.
pub fn scratch() -> std::io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let builder = || tempfile::Builder::new().prefix("provost-faults").to_owned();
    builder().tempdir_in(memory).or_else(|_| builder().tempdir())
}

impl RecordedRun {
    /// Runs the program `history` once for each plan of faults (`PROVOST_FAULT_PLAN` in `shim.c`), each time on the
    /// folder that the previous process left.
    ///
    /// # Errors
    /// The layer cannot be built, the program panics, the program fails in a process without planned faults, or the
    /// record does not explain the folder's content.
    pub fn record(history: &Path, subject: RunSubject, seed: u64, plans: &[String]) -> anyhow::Result<Self> {
        let folder = scratch()?;
        let (root, log) = (folder.path().join("root"), folder.path().join("record"));
        fs::create_dir(&root)?;
        let mut first_steps = Vec::new();
        for (life, plan) in plans.iter().enumerate() {
            let mut command = Command::new(history);
            command.arg(subject.word()).arg(&root).args([seed.to_string(), life.to_string()]).args(&first_steps);
            provost_tests::shim::preload(&mut command, &root)?;
            command.env("PROVOST_FAULT_LOG", &log).env("PROVOST_FAULT_PLAN", plan);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let ended = command.spawn().context("history")?.wait_with_output()?;
            let may_fail = !plan.is_empty();
            ensure!(may_fail || ended.status.success(), "{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
            // A panic is a bug, in any state of the disk.
            ensure!(ended.status.code() != Some(101), "{}", String::from_utf8_lossy(&ended.stderr));
            let (_, marks) = read(&log)?;
            first_steps = next_steps(&marks);
        }
        let (calls, marks) = read(&log)?;
        let run = Self { calls, marks, root, _folder: folder };
        run.check_record()?;
        Ok(run)
    }

    /// Checks that the record explains the folder: a call that the layer missed would make every result worthless.
    fn check_record(&self) -> anyhow::Result<()> {
        let mut disk = Disk::new(FailedSync::Retried);
        self.calls.iter().enumerate().for_each(|(number, call)| disk.apply(number, call));
        let (expected, files) = (disk.live(), content_of(&self.root, &self.root)?);
        for (path, content) in &files {
            ensure!(expected.contains_key(path), "{path} is not in the record");
            ensure!(expected.get(path) == Some(content), "{path} is not as recorded");
        }
        for path in expected.keys() {
            ensure!(files.contains_key(path), "{path} is in the record only");
        }
        Ok(())
    }

    /// Checks about `limit` crash states, chosen by the seed among all cuts and losses; equal ones only once. `judge`
    /// gets each in a folder of its own, with the marks before the cut. Returns the number of states checked.
    ///
    /// # Errors
    /// The fault that `judge` found, with the cut.
    pub fn crash_states(
        &self,
        limit: usize,
        seed: u64,
        mut judge: impl FnMut(&Path, &[HistoryMark]) -> Result<(), String>,
    ) -> anyhow::Result<usize> {
        let (mut rng, mut digests, mut checked) = (StdRng::seed_from_u64(seed), HashSet::new(), 0);
        let weights = self.weights();
        let all = weights.iter().sum::<f64>() * (Loss::ALL.len() * self.kinds_of_failed_sync().len()) as f64;
        for failed_sync in self.kinds_of_failed_sync() {
            let mut disk = Disk::new(*failed_sync);
            for (cut, weight) in weights.iter().enumerate() {
                let marks: Vec<HistoryMark> =
                    self.marks.iter().filter(|(before, _)| *before <= cut).map(|(_, mark)| mark.clone()).collect();
                for loss in Loss::ALL {
                    if !rng.random_bool((limit as f64 * weight / all).min(1.0)) {
                        continue;
                    }
                    let image = disk.after_crash(loss, &mut rng);
                    if !digests.insert((disk::digest(&image), marks.len())) {
                        continue;
                    }
                    let folder = scratch()?;
                    disk::write(&image, folder.path())?;
                    checked += 1;
                    let verdict = judge(folder.path(), &marks);
                    if let Err(why) = verdict {
                        let calls = self.calls_before(cut);
                        let files = folder.keep();
                        anyhow::bail!(
                            "cut at {cut} of {}, {loss:?}, {failed_sync:?}:\n{why}\n\
                             calls:\n{calls}\nlast mark: {:?}\nfiles: {}",
                            self.calls.len(),
                            marks.last(),
                            files.display()
                        );
                    }
                }
                if let Some(call) = self.calls.get(cut) {
                    disk.apply(cut, call);
                }
            }
        }
        Ok(checked)
    }

    /// The weights of the cuts: higher right after an answer, when acknowledged data may be missing, and in the calls
    /// after the first kill, when the kernel still holds data that the disk lacks.
    fn weights(&self) -> Vec<f64> {
        let mut weights = vec![1.0; self.calls.len() + 1];
        for (before, mark) in &self.marks {
            if matches!(mark.progress, StepProgress::Answered(_)) {
                weights[*before] = LIKELIER;
            }
        }
        let killed = self.calls.iter().position(|record| matches!(record.call, FileCall::Killed));
        weights.iter_mut().skip(killed.unwrap_or(usize::MAX)).take(AFTER_KILL).for_each(|weight| *weight *= LIKELIER);
        weights
    }

    fn kinds_of_failed_sync(&self) -> &'static [FailedSync] {
        match self.calls.iter().any(|call| matches!(call.call, FileCall::FailedSync)) {
            true => &[FailedSync::Retried, FailedSync::Forgotten],
            false => &[FailedSync::Retried],
        }
    }

    /// The last calls before a cut, as text for the report.
    fn calls_before(&self, cut: usize) -> String {
        let lines = self.calls.iter().take(cut).skip(cut.saturating_sub(15)).map(|record| match &record.call {
            FileCall::Write(at, data) => format!("{} write {} at {at}", record.inode, data.len()),
            other => format!("{} {other:?}", record.inode),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Marks, each with the number of calls before it.
type PlacedMarks = Vec<(usize, HistoryMark)>;

/// The calls and the marks of a record.
fn read(log: &Path) -> anyhow::Result<(Vec<CallRecord>, PlacedMarks)> {
    let (mut calls, mut marks, mut inode) = (Vec::new(), Vec::new(), None);
    for record in record::parse(&fs::read(log)?) {
        match &record.call {
            FileCall::Create(path) if path == mark::FILE => inode = Some(record.inode),
            FileCall::Write(_, line) if Some(record.inode) == inode => {
                marks.push((calls.len(), HistoryMark::parse(std::str::from_utf8(line)?)));
            }
            _ => calls.push(record),
        }
    }
    Ok((calls, marks))
}

/// The step with which each caller continues in the next process: the one in progress, or the next one.
fn next_steps(marks: &[(usize, HistoryMark)]) -> Vec<String> {
    let callers = marks.iter().map(|(_, mark)| mark.caller + 1).max().unwrap_or(0);
    let mut next = vec![0; callers];
    for (_, mark) in marks {
        next[mark.caller] = mark.step + usize::from(mark.progress != StepProgress::Begun);
    }
    next.iter().map(usize::to_string).collect()
}

/// The content of a folder, without the marks file and the files that the layer does not record.
fn content_of(root: &Path, folder: &Path) -> anyhow::Result<Image> {
    let mut image = Image::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = format!("/{}", path.strip_prefix(root)?.display());
        if name == mark::FILE || name.ends_with("-shm") || name.ends_with("/lock") {
            continue;
        }
        if path.is_dir() {
            image.insert(name, None);
            image.extend(content_of(root, &path)?);
        } else {
            image.insert(name, Some(fs::read(&path)?));
        }
    }
    Ok(image)
}
