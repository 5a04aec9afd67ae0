//! Writes a registrar's file of N made-up people (1000 without N), the same each time:
//! `generate [N] [--passwords] > file.csv`.

use std::io::{BufWriter, Write};

const GIVEN: [&str; 40] = [
    "Zoé",
    "Émile",
    "Chloé",
    "Noël",
    "Maëlle",
    "Jean-Luc",
    "Marie-Ève",
    "François",
    "Thị Hà",
    "Minh Đức",
    "Nguyệt",
    "Łukasz",
    "Małgorzata",
    "Jürgen",
    "Käthe",
    "João",
    "Conceição",
    "Søren",
    "Åse",
    "Þóra",
    "Dvořák",
    "Şebnem",
    "İpek",
    "Siobhán",
    "Ann",
    "Bob",
    "Carol",
    "David",
    "Erin",
    "Frank",
    "Grace",
    "Hugo",
    "Iris",
    "Jack",
    "Kim",
    "Louis",
    "Maya",
    "Nora",
    "Omar",
    "Paul",
];
const FAMILY: [&str; 40] = [
    "Tremblay",
    "Côté",
    "Gagné",
    "L'Écuyer",
    "Bélanger",
    "Lévesque",
    "Saint-Pierre",
    "De La Fontaine",
    "Nguyễn",
    "Trần",
    "Phạm",
    "Đặng",
    "Kowalski",
    "Wałęsa",
    "Müller",
    "Groß",
    "Schönfeld",
    "Gonçalves",
    "Simões",
    "Sørensen",
    "Ångström",
    "O'Neil",
    "O’Brien",
    "D'Amours",
    "van der Berg",
    "Smith",
    "Jones",
    "Brown",
    "Taylor",
    "Wilson",
    "Evans",
    "Walker",
    "Roy",
    "Martin",
    "Fortin",
    "Gauthier",
    "Morin",
    "Lavoie",
    "Fournier",
    "Girard",
];
const AFFILIATIONS: [&str; 8] = ["student", "student", "student", "student", "student", "faculty", "staff", "alum"];

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.iter().find_map(|argument| argument.parse::<usize>().ok()).unwrap_or(1000);
    let passwords = arguments.iter().any(|argument| argument == "--passwords");
    let mut out = BufWriter::new(std::io::stdout().lock());
    writeln!(
        out,
        "person_id,given_name,family_name,birth_date,private_email,affiliation,program,start_date,end_date,password"
    )?;
    for n in 0..count {
        writeln!(out, "{}", row(n, passwords))?;
    }
    out.flush()
}

/// The row of person `n`. Once all pairs of names are used, three of four further people get a double family name. So a
/// few people share a name, as in a university: at most 16 of the first 100,000.
fn row(n: usize, passwords: bool) -> String {
    let given = GIVEN[n * 7 % GIVEN.len()];
    let family = FAMILY[(n / GIVEN.len()) * 11 % FAMILY.len()];
    let round = n / (GIVEN.len() * FAMILY.len());
    let family = match round % 4 {
        0 => family.to_owned(),
        _ => format!("{family}-{}", FAMILY[(round * 3 + n % 2) % FAMILY.len()]),
    };
    let affiliation = AFFILIATIONS[n % AFFILIATIONS.len()];
    let (year, month, day) = (1960 + n % 48, 1 + n % 12, 1 + n % 28);
    let password = if passwords { format!("made up words {n}") } else { String::new() };
    format!(
        "{},{given},{family},{year}-{month:02}-{day:02},person{n}@example.net,{affiliation},P-{},2026-09-01,,{password}",
        10_000_000 + n,
        n % 60
    )
}
