//! A running node on its own loopback ports, in a temporary folder, stopped when dropped.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

/// How long a node may take to import people and become ready.
const START_LIMIT: Duration = Duration::from_secs(180);
/// How long a node may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The listeners; the values are the offsets of their ports from `--port-base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Port {
    /// LDAP.
    Ldap = 0,
    /// REST and web.
    Http = 1,
    /// SMTP for mail from outside.
    Mx = 2,
    /// Submission with STARTTLS.
    Submission = 3,
    /// Submission in TLS.
    Submissions = 4,
    /// LMTP.
    Lmtp = 5,
    /// IMAP with STARTTLS.
    Imap = 6,
    /// IMAP in TLS.
    Imaps = 7,
    /// POP3 with STLS.
    Pop3 = 8,
    /// POP3 in TLS.
    Pop3s = 9,
    /// Metrics and readiness.
    Health = 11,
}

/// How to start a node.
#[derive(Default)]
pub struct Options {
    /// The registrar's file; `None` for the tests' own people.
    pub import: Option<PathBuf>,
    /// Number of the tests' own people; `None` for all.
    pub people: Option<u32>,
    /// The value of `--relay`.
    pub relay: Option<String>,
}

/// A running node.
pub struct Node {
    folder: TempDir,
    ports: Ports,
    options: Options,
    child: Option<Child>,
    /// Environment variables of each `serve_again`.
    environment: Vec<(&'static str, PathBuf)>,
}

/// The binary under test: `PROVOST_BIN`, or the one that cargo built beside this test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PROVOST_BIN") {
        return path.into();
    }
    let own = std::env::current_exe().unwrap_or_default();
    let target = own.ancestors().nth(2).map(Path::to_owned).unwrap_or_default();
    target.join("provost")
}

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

impl Node {
    /// Starts a node with the tests' own people.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default())
    }

    /// Starts a node with options.
    pub fn start_with(options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("provost-test").tempdir()?;
        let mut node = Self { folder, ports: Ports::find()?, options, child: None, environment: Vec::new() };
        node.launch()?;
        Ok(node)
    }

    /// Serves a data folder of an earlier version: `tests/fixtures/NAME.tar.gz`. Mail to other domains goes to `relay`.
    pub fn from_fixture(name: &str, relay: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("provost-test").tempdir()?;
        let archive = checkout().join(format!("tests/fixtures/{name}.tar.gz"));
        let unpacked = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(folder.path()).status()?;
        ensure!(unpacked.success(), "cannot unpack {}", archive.display());
        let options = Options { relay: Some(relay.to_owned()), ..Options::default() };
        let mut node = Self { folder, ports: Ports::find()?, options, child: None, environment: Vec::new() };
        node.configure(|text| node.moved_here(&text, relay))?;
        node.serve_again(&[Port::Imap, Port::Pop3, Port::Mx])?;
        Ok(node)
    }

    /// Replaces folder, ports and relay in a quickstart's configuration with this node's.
    fn moved_here(&self, text: &str, relay: &str) -> String {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix("= "));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        let base: u16 = value("http").rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(1) - 1;
        let moved = text.replace(&value("data"), &self.data().display().to_string());
        let moved = moved.replace(&format!("relay = \"{}\"", value("relay")), &format!("relay = \"{relay}\""));
        move_ports(&moved, base, self.ports.base)
    }

    /// Starts the quickstart, and waits until it serves.
    fn launch(&mut self) -> anyhow::Result<()> {
        let import = match &self.options.import {
            Some(file) => file.clone(),
            None => {
                let count = self.options.people.unwrap_or(crate::people::PEOPLE);
                crate::people::write_first(self.folder.path(), count)?
            }
        };
        let log = self.folder.path().join("log");
        let out = File::create(&log)?;
        let mut command = Command::new(binary());
        command
            .args(["quickstart", "--data"])
            .arg(self.data())
            .args(["--port-base", &self.ports.base.to_string(), "--import"])
            .arg(import)
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out);
        if let Some(relay) = &self.options.relay {
            command.args(["--relay", relay]);
        }
        self.child = Some(command.spawn().with_context(|| format!("{}", binary().display()))?);
        self.wait_for("Serving until")
    }

    fn wait_for(&mut self, text: &str) -> anyhow::Result<()> {
        let end = Instant::now() + START_LIMIT;
        while Instant::now() < end {
            let output = self.log();
            if output.contains(text) {
                return Ok(());
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                bail!("the node ended with {status}:\n{output}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the node did not start in {START_LIMIT:?}:\n{}", self.log())
    }

    /// The node's output since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The node's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The temporary folder around the data folder, for a test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The node's configuration file, for `provost --config`.
    pub fn config(&self) -> PathBuf {
        self.data().join("provost.toml")
    }

    /// The address of a listener.
    pub fn address(&self, port: Port) -> SocketAddr {
        self.ports.address(port)
    }

    /// A listener's port.
    pub fn port(&self, port: Port) -> u16 {
        self.ports.of(port)
    }

    /// The content of a secret file of the quickstart: `api-token`, `helpdesk-password`, `directory-password`.
    pub fn secret(&self, name: &str) -> String {
        fs::read_to_string(self.data().join("secrets").join(name)).unwrap_or_default().trim().to_owned()
    }

    /// Edits the configuration file, which the node reads at its next start or SIGHUP.
    pub fn configure(&self, edit: impl FnOnce(String) -> String) -> anyhow::Result<()> {
        Ok(fs::write(self.config(), edit(fs::read_to_string(self.config())?))?)
    }

    /// Puts the file layer of `shim.c` under the data folder from the next `serve_again` on. The content of the
    /// returned file sets the state of the disk: `full`, `eio` (every sync fails), or empty for a disk without faults.
    pub fn put_on_faulty_disk(&mut self) -> anyhow::Result<PathBuf> {
        let control = self.folder.path().join("disk");
        self.environment = vec![
            ("LD_PRELOAD", crate::shim::library()?.to_owned()),
            ("PROVOST_FAULT_ROOT", self.data()),
            ("PROVOST_FAULT_CONTROL", control.clone()),
        ];
        Ok(control)
    }

    /// Removes the file layer from the next `serve_again` on.
    pub fn put_on_sound_disk(&mut self) {
        self.environment.clear();
    }

    /// The node's process id; 0 when it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Kills the node with SIGKILL: its memory is lost; what it has written to files is kept, synced or not.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends a signal by its name, such as `HUP`.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        // `kill` takes the process id 0 for its own process group.
        let child = self.child.as_ref().context("the node does not run")?;
        let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status()?;
        ensure!(sent.success(), "kill -s {name} failed");
        Ok(())
    }

    /// Sends SIGTERM and waits for the exit. A node that does not end within `STOP_LIMIT` is killed, and is an error.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let Some(mut child) = self.child.take() else { return Ok(ExitStatus::from_raw(0)) };
        let status = Command::new("kill").arg(child.id().to_string()).status()?;
        ensure!(status.success(), "kill failed");
        let end = Instant::now() + STOP_LIMIT;
        while Instant::now() < end {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill()?;
        child.wait()?;
        bail!("the node did not stop in {STOP_LIMIT:?}")
    }

    /// Runs `provost serve` on the same folder and ports, without the quickstart. Returns the time until all of `ports`
    /// accepted and the View was current.
    pub fn serve_again(&mut self, ports: &[Port]) -> anyhow::Result<Duration> {
        let out = File::create(self.folder.path().join("log"))?;
        let begin = Instant::now();
        let child = Command::new(binary())
            .arg("--config")
            .arg(self.config())
            .arg("serve")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()?;
        self.child = Some(child);
        for port in ports {
            wait_port(self.address(*port)).with_context(|| self.log())?;
        }
        crate::deadline::until(START_LIMIT, || Ok(self.is_current()?.then_some(()))).with_context(|| self.log())?;
        Ok(begin.elapsed())
    }

    /// Whether `/readyz` reports that the View follows the directory: until then, RCPT for a person who is not in the
    /// saved View gets a 4xx reply.
    fn is_current(&self) -> anyhow::Result<bool> {
        let mut socket = match TcpStream::connect(self.address(Port::Health)) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(false),
            other => other?,
        };
        socket.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer.contains("\"current\":true"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("output of the node:\n{}", self.log());
        }
        if self.stop().is_err() {
            let _ = self.kill();
        }
    }
}

/// Waits until a listener accepts at `address`.
pub fn wait_port(address: SocketAddr) -> anyhow::Result<()> {
    let end = Instant::now() + START_LIMIT;
    while Instant::now() < end {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("nothing listens at {address}")
}

/// The configuration with the twelve ports from `old` on replaced by those from `new` on. The two ranges may overlap.
fn move_ports(text: &str, old: u16, new: u16) -> String {
    let marked = (0..12).fold(text.to_owned(), |text, offset| {
        text.replace(&format!("127.0.0.1:{}\"", old + offset), &format!("127.0.0.1:+{offset}\""))
    });
    (0..12).fold(marked, |text, offset| {
        text.replace(&format!("127.0.0.1:+{offset}\""), &format!("127.0.0.1:{}\"", new + offset))
    })
}

/// Twelve consecutive ports, reserved from other tests until dropped: a listener stays open on the eleventh, which no
/// node serves.
pub struct Ports {
    base: u16,
    _held: TcpListener,
}

impl Ports {
    /// Finds free ports below the range that the system assigns by itself.
    pub fn find() -> anyhow::Result<Self> {
        for _ in 0..200 {
            let base = 20_000 + 12 * rand::random_range(0..1000);
            let Ok(held) = TcpListener::bind(("127.0.0.1", base + 10)) else { continue };
            let mut others = (base..base + 12).filter(|port| *port != base + 10);
            if others.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
                return Ok(Self { base, _held: held });
            }
        }
        bail!("no twelve free ports in a row")
    }

    /// A listener's port.
    pub fn of(&self, port: Port) -> u16 {
        self.base + port as u16
    }

    /// The address of a listener.
    pub fn address(&self, port: Port) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.of(port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_move_to_an_overlapping_range() {
        let text = |base: u16| format!("ldap = \"127.0.0.1:{base}\"\nhealth = \"127.0.0.1:{}\"\n", base + 4);
        for new in [23_496, 23_500, 23_504, 31_000] {
            assert_eq!(move_ports(&text(23_500), 23_500, new), text(new));
        }
    }
}
