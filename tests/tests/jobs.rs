//! Imports over REST and kill -9: an uploaded plan still waits afterwards, and an interrupted apply is reported as
//! failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use provost_tests::http::{HttpRequest, HttpResponse, send};
use provost_tests::people::HEADER;
use provost_tests::{Node, Options, Port, deadline};

const LIMIT: Duration = Duration::from_secs(60);
/// Rows of the file whose apply is interrupted: the apply takes some seconds.
const ROWS: usize = 4000;

fn ask(node: &Node, method: &str, path: &str, (content_type, body): (&str, &str)) -> HttpResponse {
    let bearer = format!("Authorization: Bearer {}", node.secret("api-token"));
    let content_type = format!("Content-Type: {content_type}");
    send(node.address(Port::Http), HttpRequest { method, path, headers: &[&bearer, &content_type], body }).unwrap()
}

fn get(node: &Node, path: &str) -> HttpResponse {
    ask(node, "GET", path, ("text/plain", ""))
}

/// Uploads a file; returns the path of its plan, and the plan's hash.
fn upload(node: &Node, rows: &str) -> (String, String) {
    let plan = ask(node, "POST", "/api/v1/imports?coverage=partial", ("text/csv", &format!("{HEADER}{rows}")));
    assert_eq!(plan.status, 201, "{plan:?}");
    (plan.header("location").to_owned(), plan.between("\"hash\":\"", "\"").to_owned())
}

/// Applies a plan, and waits at most `wait` seconds for the end of the job.
fn apply(node: &Node, (path, hash): (&str, &str), wait: u32) -> HttpResponse {
    let body = format!(r#"{{"hash":"{hash}"}}"#);
    ask(node, "POST", &format!("{path}/apply?wait={wait}"), ("application/json", &body))
}

#[test]
fn plans_and_jobs_survive_kill_9() {
    let mut node = Node::start_with(Options { people: Some(1), ..Options::default() }).unwrap();
    let other = upload(&node, "O1,Other,Person,,,student,,,,\n");
    let mut rows = String::new();
    for number in 0..ROWS {
        writeln!(rows, "J{number},Jo,Row{},,,student,,,,", letters(number)).unwrap();
    }
    let plan = upload(&node, &rows);
    let job = apply(&node, (&plan.0, &plan.1), 0);
    assert_eq!(job.status, 202, "{job:?}");
    let job_path = job.header("location").to_owned();
    let is_under_way = || {
        let done: u32 = get(&node, &job_path).between("\"done\":", ",").parse()?;
        Ok((done > 0).then_some(()))
    };
    deadline::until(LIMIT, is_under_way).unwrap();
    assert!(get(&node, &job_path).body.contains("\"state\":\"running\""), "the job ended before the kill");
    node.kill().unwrap();
    node.serve_again(&[Port::Http]).unwrap();

    let ended = get(&node, &job_path);
    assert!(ended.body.contains("\"state\":\"failed\"") && ended.body.contains("its node stopped"), "{ended:?}");
    let waiting = get(&node, &other.0);
    assert_eq!((waiting.status, waiting.between("\"hash\":\"", "\"")), (200, &*other.1), "{waiting:?}");

    // The plan now has the rows that are left. The restarted node has released its turn, so a new apply can begin.
    let left = get(&node, &plan.0);
    let (creates, hash) = (left.between("\"create\":", ","), left.between("\"hash\":\"", "\""));
    let creates: usize = creates.parse().unwrap();
    assert!((1..ROWS).contains(&creates), "{creates}");
    let began = Instant::now();
    let job = apply(&node, (&plan.0, hash), 60);
    assert!(job.status == 200 && job.body.contains("\"state\":\"done\""), "{job:?}");
    assert_eq!(get(&node, &plan.0).status, 404, "an applied plan must be gone");
    let done = apply(&node, (&other.0, &other.1), 60);
    assert!(done.status == 200 && done.body.contains("\"failed\":0"), "{done:?}");
    println!(
        "killed with {creates} of {ROWS} rows to do; the job ended as failed, and the rest was applied in {:?}",
        began.elapsed()
    );
}

/// A number as three letters, so that each row has a name of its own.
fn letters(number: usize) -> String {
    let letter = |value: usize| char::from(b'a' + u8::try_from(value % 26).unwrap_or_default());
    [letter(number / 676), letter(number / 26), letter(number)].iter().collect()
}
