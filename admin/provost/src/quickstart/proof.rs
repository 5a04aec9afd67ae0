//! `provost proof` sends a message by SMTP to a person of the imported file, and reads it in their mailbox by IMAP and
//! POP3.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use provost_provision::{CsvOptions, DeskError, PersonSummary, SourceRecord, read_source};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::config::{Config, ListenerConfig};
use crate::exit::Exit;
use crate::output::printable;

/// Longest wait for one line or one literal from the node.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Maximum number of rows with a password that are tried: the import may have left out the first ones.
const ROWS_TRIED_MAX: usize = 50;

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The file that was imported.
    #[arg(long)]
    import: PathBuf,
}

/// The person who reads the message.
struct ProofReader {
    name: String,
    mail: String,
    password: String,
}

/// Runs `provost proof`.
pub(crate) async fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<Exit> {
    let bytes = tokio::fs::read(&arguments.import).await?;
    let source = read_source("registrar", &bytes, &CsvOptions::default())?;
    let Some(reader) = reader(config, &source.records).await? else {
        out!("The proof is skipped: none of the first {ROWS_TRIED_MAX} rows with a password is in the directory.");
        return Ok(Exit::Clean);
    };
    let listeners = &config.listeners;
    let address = |found: &Option<ListenerConfig>, name: &str| {
        found.as_ref().map(|listener| listener.address).ok_or_else(|| anyhow!("listeners.{name} is off"))
    };
    let message_id = format!("{}@quickstart.invalid", uuid::Uuid::new_v4().simple());
    send(address(&listeners.mx, "mx")?, config, &reader, &message_id).await.context("SMTP")?;
    out!(
        "SMTP  {} took a message for {} <{}>",
        address(&listeners.mx, "mx")?,
        printable(&reader.name),
        printable(&reader.mail)
    );
    let by_imap = read_imap(address(&listeners.imap, "imap")?, &reader, &message_id).await.context("IMAP")?;
    out!("IMAP  {} found it in the INBOX of {}:\n", address(&listeners.imap, "imap")?, printable(&reader.mail));
    by_imap.lines().for_each(|line| out!("    {}", printable(line)));
    let by_pop3 = read_pop3(address(&listeners.pop3, "pop3")?, &reader, &message_id).await.context("POP3")?;
    ensure!(by_imap == by_pop3, "IMAP and POP3 do not show the same message");
    out!("\nPOP3  {} found the same {} octets", address(&listeners.pop3, "pop3")?, by_pop3.len());
    Ok(Exit::Clean)
}

/// The first person who has a password in the file and is in the directory; `None` when none of the first
/// [`ROWS_TRIED_MAX`] rows with a password belongs to a person in the directory.
async fn reader(config: &Config, records: &[SourceRecord]) -> anyhow::Result<Option<ProofReader>> {
    let crate::commands::DeskAccess { desk, settings, principal, .. } = crate::commands::desk_access(config).await?;
    let with_password = records.iter().filter_map(|record| Some((record, record.password.as_ref()?)));
    for (record, password) in with_password.take(ROWS_TRIED_MAX) {
        let key = format!("{}:{}", settings.source, record.person_id);
        let PersonSummary { display_name: name, mail, .. } = match desk.person(&principal, &key).await {
            Ok(person) => person.summary,
            Err(DeskError::NotFound(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        return Ok(Some(ProofReader { name, mail, password: password.reveal().to_owned() }));
    }
    Ok(None)
}

/// A client of a line protocol: SMTP, IMAP or POP3.
struct LineClient {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl LineClient {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let (read, write) = TcpStream::connect(address).await?.into_split();
        Ok(Self { read: BufReader::new(read), write })
    }

    /// Reads a line, without its line end.
    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(ANSWER_LIMIT, self.read.read_line(&mut line)).await??;
        ensure!(read > 0, "the node closed the connection");
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    async fn send(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.write.write_all(format!("{line}\r\n").as_bytes()).await?)
    }

    /// Sends a line, unless it is empty, and reads the SMTP reply to its last line. Every line must begin with `code`.
    /// An empty `line` reads the greeting.
    async fn smtp(&mut self, line: &str, code: &str) -> anyhow::Result<()> {
        if !line.is_empty() {
            self.send(line).await?;
        }
        loop {
            let answer = self.line().await?;
            ensure!(answer.starts_with(code), "to '{}': {answer}", line.lines().next().unwrap_or("the connection"));
            if answer.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }

    /// Sends an IMAP command and returns the untagged lines of the answer and the last literal in them.
    async fn imap(&mut self, command: &str) -> anyhow::Result<(Vec<String>, Option<String>)> {
        self.send(&format!("a {command}")).await?;
        let (mut lines, mut literal) = (Vec::new(), None);
        loop {
            let line = self.line().await?;
            if let Some(result) = line.strip_prefix("a ") {
                let verb = command.split(' ').next().unwrap_or_default();
                ensure!(result.starts_with("OK"), "to {verb}: {result}");
                return Ok((lines, literal));
            }
            let octets = line.rsplit_once('{').and_then(|(_, end)| end.strip_suffix('}')?.parse::<usize>().ok());
            if let Some(octets) = octets {
                let mut bytes = vec![0; octets];
                tokio::time::timeout(ANSWER_LIMIT, self.read.read_exact(&mut bytes)).await??;
                literal = Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            lines.push(line);
        }
    }

    /// Sends a command and returns its reply, which must be `+OK`. An empty command reads the greeting.
    async fn pop3(&mut self, command: &str) -> anyhow::Result<String> {
        if !command.is_empty() {
            self.send(command).await?;
        }
        let answer = self.line().await?;
        let verb = command.split(' ').next().unwrap_or_default();
        ensure!(answer.starts_with("+OK"), "to {}: {answer}", if verb.is_empty() { "the connection" } else { verb });
        Ok(answer)
    }
}

async fn send(address: SocketAddr, config: &Config, reader: &ProofReader, message_id: &str) -> anyhow::Result<()> {
    let mut client = LineClient::open(address).await?;
    client.smtp("", "220").await?;
    client.smtp("EHLO quickstart.invalid", "250").await?;
    client.smtp(&format!("MAIL FROM:<registrar@{}>", config.settings().domain), "250").await?;
    client.smtp(&format!("RCPT TO:<{}>", reader.mail), "250").await?;
    client.smtp("DATA", "354").await?;
    let date = jiff::fmt::rfc2822::to_string(&jiff::ZonedDateTime::now())?;
    let message = format!(
        "From: Registrar <registrar@{}>\r\nTo: <{}>\r\nSubject: Welcome\r\nDate: {date}\r\nMessage-ID: <{message_id}>\r\n\r\n\
         This message was sent by SMTP to a person of the imported CSV file.\r\n.",
        config.settings().domain,
        reader.mail
    );
    client.smtp(&message, "250").await?;
    client.smtp("QUIT", "221").await
}

async fn read_imap(address: SocketAddr, reader: &ProofReader, message_id: &str) -> anyhow::Result<String> {
    let mut client = LineClient::open(address).await?;
    client.line().await?;
    let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    client.imap(&format!("LOGIN \"{}\" \"{}\"", quote(&reader.mail), quote(&reader.password))).await?;
    client.imap("EXAMINE INBOX").await?;
    let (lines, _) = client.imap(&format!("SEARCH HEADER Message-ID {message_id}")).await?;
    let found = lines.iter().find_map(|line| line.strip_prefix("* SEARCH ")).unwrap_or_default();
    let Some(number) = found.split(' ').next_back().filter(|number| !number.is_empty()) else {
        bail!("the message is not in the INBOX");
    };
    let (_, message) = client.imap(&format!("FETCH {number} BODY.PEEK[]")).await?;
    client.imap("LOGOUT").await?;
    message.ok_or_else(|| anyhow!("FETCH returned no body"))
}

async fn read_pop3(address: SocketAddr, reader: &ProofReader, message_id: &str) -> anyhow::Result<String> {
    let mut client = LineClient::open(address).await?;
    client.pop3("").await?;
    client.pop3(&format!("USER {}", reader.mail)).await?;
    client.pop3(&format!("PASS {}", reader.password)).await?;
    let answer = client.pop3("STAT").await?;
    let count: u32 = answer.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or(0);
    for number in (1..=count).rev() {
        client.pop3(&format!("RETR {number}")).await?;
        let mut message = String::new();
        loop {
            let line = client.line().await?;
            if line == "." {
                break;
            }
            message.push_str(line.strip_prefix('.').unwrap_or(&line));
            message.push_str("\r\n");
        }
        if message.contains(message_id) {
            client.pop3("QUIT").await?;
            return Ok(message);
        }
    }
    bail!("the message is not among the {count} of the maildrop")
}
