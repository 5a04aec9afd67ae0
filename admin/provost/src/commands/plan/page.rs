//! A kept plan as a page of its own, to be read and printed.

use std::io::{self, BufWriter, Write};

use provost_provision::{KeptPlan, Plan, Words};

/// Writes the page: what the plan does, the limits that it exceeds, and every change with its reason.
pub(super) fn write(to: impl Write, kept: &KeptPlan, plan: &Plan, words: &Words) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    let short = kept.hash.get(..16).unwrap_or(&kept.hash);
    write!(
        to,
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><title>Plan {short}</title>\
         <style>body{{font:16px/1.5 sans-serif;margin:2em;max-width:80em}}table{{border-collapse:collapse}}\
         td,th{{border:1px solid #999;padding:.3em .6em;text-align:left;vertical-align:top}}\
         .stop{{border:2px solid #a00;padding:.5em 1em}}</style></head><body>\n<h1>Plan {short}</h1>\n",
        words.language_tag()
    )?;
    writeln!(to, "<p>{} · {} · {} ({})</p>", escaped(&kept.maker), kept.at, escaped(&kept.source), kept.origin)?;
    writeln!(to, "<p><code>{}</code></p>", kept.hash)?;
    if kept.report.has_tripped() {
        writeln!(to, "<div class=\"stop\"><h2>{}</h2><ul>", words.guard_title())?;
        for trip in &kept.report.trips {
            writeln!(to, "<li>{}</li>", escaped(&trip.to_string()))?;
        }
        writeln!(to, "</ul></div>")?;
    }
    writeln!(to, "<table><tbody>")?;
    for change in plan.changes() {
        write!(to, "<tr><th scope=\"row\">{}</th><td>", escaped(&words.plan_line(change)))?;
        for line in words.plan_details(change) {
            write!(to, "{}<br>", escaped(&line))?;
        }
        writeln!(to, "</td></tr>")?;
    }
    writeln!(to, "</tbody></table></body></html>")?;
    to.flush()
}

/// Text in which no character begins markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_begin_markup() {
        assert_eq!(escaped("<b title=\"&\">"), "&lt;b title=&quot;&amp;&quot;&gt;");
    }
}
