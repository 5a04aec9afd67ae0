//! Explanations in words, line by line.

use jiff::Timestamp;

use super::{
    AddressExplanation, AddressHolder, ExplainedLock, ExplainedOrigin, Explanation, MailDestination, PersonExplanation,
    RecordedOrigin,
};
use crate::Words;

impl Words {
    /// The lines of an explanation.
    pub fn explanation(&self, explanation: &Explanation) -> Vec<String> {
        match explanation {
            Explanation::Person(person) => self.person_explanation(person),
            Explanation::Address(address) => self.address_explanation(address),
        }
    }

    fn person_explanation(&self, person: &PersonExplanation) -> Vec<String> {
        let mut lines = vec![format!("{}, {} {}", person.name, self.say("as of", "au"), self.time(&person.at))];
        lines.extend(self.state_lines(person));
        for address in &person.addresses {
            let kind = self.value(provost_schema::attr::PROVOST_ADDRESS_KIND, &address.address_kind);
            let until = self.until(address.until.as_deref());
            lines.push(format!("{}{}{} ({kind}{until})", self.attribute("address"), self.colon(), address.address));
            lines.push(format!("    {}", self.origin_words(&address.origin)));
            lines.extend(address.found_by.iter().map(|found| format!("    {found}")));
        }
        for value in &person.values {
            let shown = self.value(&value.attribute, &value.value);
            lines.push(format!("{}{}{shown}", self.attribute(&value.attribute), self.colon()));
            lines.push(format!("    {}", self.origin_words(&value.origin)));
        }
        if !person.uncertain.is_empty() {
            let names: Vec<String> = person.uncertain.iter().map(|name| self.attribute(name)).collect();
            let text = self.say(
                "changed outside Provost since then, so that the value may have been another",
                "modifié hors de Provost depuis, la valeur a pu être une autre",
            );
            lines.push(format!("{}{}{text}", names.join(", "), self.colon()));
        }
        lines
    }

    fn state_lines(&self, person: &PersonExplanation) -> Vec<String> {
        let state = &person.state;
        let mut line = format!("{}{}{}", self.attribute("provostState"), self.colon(), self.state(&state.state));
        if state.suspended && !state.state.eq_ignore_ascii_case("suspended") {
            line.push_str(self.say(", suspended by a lock", ", suspendu par un verrou"));
        }
        if let Some(since) = &state.since {
            line.push_str(&format!(" {} {}", self.say("since", "depuis le"), self.time(since)));
        }
        let mut lines = vec![line];
        lines.extend(state.origin.iter().map(|origin| format!("    {}", self.origin_words(origin))));
        if let Some(policy) = &state.policy {
            lines.push(format!("    {} {policy}", self.say("by the policy", "selon la politique")));
            let origin = state.policy_origin.iter();
            lines.extend(origin.map(|origin| format!("        {}", self.origin_words(origin))));
        }
        if !state.restrictions.is_empty() {
            let name = provost_schema::attr::PROVOST_RESTRICTION;
            lines.push(format!(
                "    {}{}{}",
                self.attribute(name),
                self.colon(),
                self.values(name, &state.restrictions)
            ));
        }
        lines.push(match (&state.until, &state.next) {
            (Some(until), Some(next)) => format!(
                "    {} {}{}{}",
                self.say("next: ends on", "ensuite : prend fin le"),
                self.time(until),
                self.say(", then ", ", puis "),
                self.state(next)
            ),
            (Some(until), None) => {
                format!("    {} {}", self.say("next: ends on", "ensuite : prend fin le"), self.time(until))
            }
            (None, _) => format!("    {}", self.say("no timer is running", "aucune échéance n’est prévue")),
        });
        lines.extend(state.locks.iter().flat_map(|lock| self.lock_lines(lock)));
        lines
    }

    fn lock_lines(&self, lock: &ExplainedLock) -> [String; 2] {
        let since =
            lock.since.as_deref().map(|time| format!(" {} {}", self.say("since", "depuis le"), self.time(time)));
        let ended = if lock.stands { "" } else { self.say(" (does not stand)", " (n’est pas en vigueur)") };
        let line = format!(
            "{} {}{}{}{ended}, {} {}{}{}",
            self.attribute("provostLock"),
            lock.name,
            since.unwrap_or_default(),
            self.until(lock.until.as_deref()),
            self.say("by", "par"),
            lock.owner,
            self.colon(),
            lock.reason
        );
        [line, format!("    {}", self.origin_words(&lock.origin))]
    }

    fn address_explanation(&self, address: &AddressExplanation) -> Vec<String> {
        let mut lines = vec![format!("{}{}{}", address.address, self.colon(), self.destination(&address.destination))];
        if let Some(kind) = &address.address_kind {
            let kind = self.value(provost_schema::attr::PROVOST_ADDRESS_KIND, kind);
            // In quarantine, the start is that of the former owner.
            let is_owned = !matches!(address.destination, MailDestination::Quarantine { .. });
            let since = address.since.as_deref().filter(|_| is_owned);
            let since = since.map(|time| format!(" {} {}", self.say("since", "depuis le"), self.time(time)));
            lines.push(format!("    {kind}{}{}", since.unwrap_or_default(), self.until(address.until.as_deref())));
        }
        lines.extend(address.found_by.iter().map(|found| format!("    {found}")));
        let then = address.held_then.and_then(|place| address.holders.get(place));
        let on = format!("{} {}", self.say("as of", "au"), self.time(&address.at));
        lines.push(match then {
            Some(holder) => format!("{on}{}{}", self.colon(), holder.name),
            None => format!("{on}{}{}", self.colon(), self.say("nobody", "personne")),
        });
        if address.holders.is_empty() {
            lines.push(
                self.say("nobody is recorded to have had it", "personne n’est consigné comme titulaire").to_owned(),
            );
        }
        lines.extend(address.holders.iter().flat_map(|holder| self.holder_lines(holder)));
        lines
    }

    fn holder_lines(&self, holder: &AddressHolder) -> Vec<String> {
        let from = holder.from.as_deref().map_or_else(
            || self.say("from an unknown time", "depuis un moment inconnu").to_owned(),
            |time| format!("{} {}", self.say("from", "du"), self.time(time)),
        );
        let until = holder.until.as_deref().map_or_else(
            || self.say("until now", "à aujourd’hui").to_owned(),
            |time| format!("{} {}", self.say("until", "au"), self.time(time)),
        );
        let mut lines = vec![
            format!("{from} {until}{}{} <{}>", self.colon(), holder.name, holder.person),
            format!("    {} {}", self.say("given:", "donnée :"), self.origin_words(&holder.given_by)),
        ];
        let taken = holder.taken_by.iter();
        lines.extend(taken.map(|by| format!("    {} {}", self.say("taken away:", "retirée :"), self.origin_words(by))));
        lines
    }

    fn destination(&self, destination: &MailDestination) -> String {
        match destination {
            MailDestination::Mailbox { name, .. } => {
                format!("{} {name}", self.say("mail goes to the mailbox of", "le courrier va à la boîte de"))
            }
            MailDestination::Forward { name, addresses, keeps_copy, .. } => {
                let copy = if *keeps_copy { self.say(", and a copy stays", ", et une copie reste") } else { "" };
                let text = self.say("mail is forwarded to", "le courrier est réacheminé vers");
                format!("{text} {}, {} {name}{copy}", addresses.join(", "), self.say("for", "pour"))
            }
            MailDestination::Role { targets } if targets.is_empty() => {
                self.say("a role address without a target", "une adresse de fonction sans destination").to_owned()
            }
            MailDestination::Role { targets } => {
                format!(
                    "{} {}",
                    self.say("mail goes to the role of", "le courrier va à la fonction de"),
                    targets.join(", ")
                )
            }
            MailDestination::List { group } => {
                format!("{} {group}", self.say("mail goes to the members of", "le courrier va aux membres de"))
            }
            MailDestination::Quarantine { until } => {
                let text = self.say("mail is refused: in quarantine", "le courrier est refusé : en quarantaine");
                format!("{text}{}", self.until(until.as_deref()))
            }
            MailDestination::Ended { at } => {
                let text = self
                    .say("mail is refused: the address ended on", "le courrier est refusé : l’adresse a pris fin le");
                format!("{text} {}", at.as_deref().map(|at| self.time(at)).unwrap_or_default())
            }
            MailDestination::Refused { name, reason, .. } => {
                let text = self.say("mail is refused: the account of", "le courrier est refusé : le compte de");
                format!("{text} {name}, {}", self.value(provost_schema::attr::PROVOST_RESTRICTION, &self.state(reason)))
            }
            MailDestination::Unknown => self
                .say("mail is refused: there is no such address", "le courrier est refusé : l’adresse n’existe pas")
                .to_owned(),
            MailDestination::NotServed => {
                self.say("the domain is not served here", "le domaine n’est pas servi ici").to_owned()
            }
        }
    }

    /// Where a value comes from, in one line.
    pub fn origin_words(&self, origin: &ExplainedOrigin) -> String {
        match origin {
            ExplainedOrigin::Record(record) => self.record_words(record),
            ExplainedOrigin::Outside { after: Some(after), .. } => {
                format!(
                    "{} {}",
                    self.say("set outside Provost, after", "fixé hors de Provost, après le"),
                    self.time(after)
                )
            }
            ExplainedOrigin::Outside { after: None, before: Some(before) } => {
                let text = self.say("set outside Provost, or before", "fixé hors de Provost, ou avant le");
                format!("{text} {}, {}", self.time(before), self.say("the first record", "première inscription"))
            }
            ExplainedOrigin::Outside { after: None, before: None } => {
                self.say("set outside Provost: no record", "fixé hors de Provost : rien n’est consigné").to_owned()
            }
        }
    }

    fn record_words(&self, record: &RecordedOrigin) -> String {
        let mut parts = Vec::new();
        if let Some(file) = &record.file {
            let row = format!("{} {}", self.say("line", "ligne"), file.row);
            let digest = file.digest.as_deref().map(short).map(|digest| format!(" {digest}")).unwrap_or_default();
            let date = file.date.as_deref().map(|date| format!(", {}", self.time(date))).unwrap_or_default();
            parts.push(format!(
                "{row} {} {} ({}{digest}{date})",
                self.say("of", "de"),
                file.source,
                self.say("file", "fichier")
            ));
        }
        if let Some(rule) = &record.rule {
            // The reason of an undo names the batch.
            let words = record.reason.clone().filter(|_| rule == "undo.batch");
            parts.push(format!("{} [{rule}]", words.unwrap_or_else(|| self.rule(rule))));
        }
        parts.extend(
            record.policies.as_ref().map(|policies| format!("{} {policies}", self.say("policies", "politiques"))),
        );
        parts.extend(record.batch.as_ref().map(|batch| format!("{} {batch}", self.say("batch", "lot"))));
        if record.file.is_none() {
            parts.push(record.action.clone());
            parts.extend(record.reason.clone());
        }
        let actor = format!("{} {} ({}), {}", self.say("by", "par"), record.actor, record.via, self.time(&record.at));
        parts.push(actor);
        parts.join(", ")
    }

    fn until(&self, until: Option<&str>) -> String {
        until.map(|time| format!(" {} {}", self.say("until", "jusqu’au"), self.time(time))).unwrap_or_default()
    }

    /// An RFC 3339 time as day and time.
    fn time(&self, text: &str) -> String {
        text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |time| self.moment(time))
    }
}

/// The first digits of a digest, enough to find the file.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
