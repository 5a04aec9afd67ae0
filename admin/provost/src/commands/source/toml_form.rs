//! The profile of a source as TOML: the same statements as its lines.

use anyhow::{Context, bail};
use toml::{Table, Value};

/// The lines of a profile that is stated as TOML. A table states one line for each of its values:
/// `[column]` with `person_id = ["Matricule", "No"]` becomes two lines. A list `precedence` states ranks by its order.
pub(super) fn lines(text: &str) -> anyhow::Result<Vec<String>> {
    let table: Table = text.parse().context("not TOML")?;
    let mut lines = Vec::new();
    for (key, value) in &table {
        match value {
            Value::Table(inner) => {
                for (name, value) in inner {
                    let words = texts(value).with_context(|| format!("{key}.{name}"))?;
                    lines.extend(words.into_iter().map(|words| format!("{key} {name} {words}")));
                }
            }
            Value::Array(_) if key == "precedence" => {
                let words = texts(value).context("precedence")?;
                lines.extend((1..).zip(words).map(|(rank, words)| format!("precedence {rank} {words}")));
            }
            value => {
                let words = texts(value).with_context(|| key.clone())?;
                lines.extend(words.into_iter().map(|words| format!("{key} {words}")));
            }
        }
    }
    Ok(lines)
}

fn texts(value: &Value) -> anyhow::Result<Vec<String>> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Integer(number) => Ok(vec![number.to_string()]),
        Value::Array(values) => {
            let texts: anyhow::Result<Vec<Vec<String>>> = values.iter().map(texts).collect();
            Ok(texts?.concat())
        }
        _ => bail!("expected a text, a whole number, or a list of them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_states_the_lines_of_a_profile() {
        let text = "version = 3\nformat = \"csv\"\nignore = [\"Tél\", \"Rue\"]\nprecedence = [\"student/PhD\", \"staff\"]\n\
                    [column]\nperson_id = [\"Matricule\", \"No\"]\n[number]\nlength = \"7-9\"\n";
        let mut found = lines(text).unwrap();
        found.sort();
        let expect = [
            "column person_id Matricule",
            "column person_id No",
            "format csv",
            "ignore Rue",
            "ignore Tél",
            "number length 7-9",
            "precedence 1 student/PhD",
            "precedence 2 staff",
            "version 3",
        ];
        assert_eq!(found, expect);
        assert!(lines("version = 1.5").is_err() && lines("a = [").is_err());
    }
}
