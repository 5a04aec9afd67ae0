//! Changes in words: one attribute before and after, and one person of a plan.

use provost_schema::attr;

use super::Words;
use crate::attribute_change::{AttributeChange, ChangeMode};
use crate::history::ValueChange;
use crate::recorded_change::is_secret;
use crate::write::{Write, WriteKind};
use crate::{ChangeKind, PersonChange, ReasonRule};

impl Words {
    /// `family name: Roy -> Tremblay`.
    pub fn value_change(&self, change: &ValueChange) -> String {
        let about = change.address.as_ref().map(|address| format!("{address}, ")).unwrap_or_default();
        if is_secret(&change.attribute) {
            return format!("{about}{}{}{}", self.attribute(&change.attribute), self.colon(), self.secret_change());
        }
        format!("{about}{}", self.before_and_after(&change.attribute, &change.before, &change.after))
    }

    /// The line of a person in a plan.
    pub fn plan_line(&self, change: &PersonChange) -> String {
        // No record asks for a change of the lifecycle.
        if change.line == 0 {
            return self.what(change);
        }
        format!("{} {}{}{}", self.say("line", "ligne"), change.line, self.colon(), self.what(change))
    }

    /// The reason and, for an existing person, each value before and after: one line each.
    pub fn plan_details(&self, change: &PersonChange) -> Vec<String> {
        let mut lines = vec![self.reason(change)];
        // A new person has no values before, and the line of the person describes them well enough.
        if change.kind != ChangeKind::Create {
            lines.extend(change.writes.iter().flat_map(|write| self.write(write)));
        }
        lines.extend(change.writes.iter().filter_map(|write| self.found(write)));
        if change.reason.rule == ReasonRule::NameChanged {
            lines.push(self.login_after_rename(change));
        }
        lines
    }

    /// The end of addresses in French; `None` for other changes and in English, in which the plan has the words.
    fn address_end(&self, change: &PersonChange) -> Option<String> {
        if change.kind != ChangeKind::Address || self.language == super::Language::English {
            return None;
        }
        let freed = change.what.strip_suffix(" is free").map(|name| format!("{name} est libre"));
        freed.or_else(|| {
            change.what.strip_suffix(" ends").map(|names| format!("{} prend fin", names.replacen(": ", " : ", 1)))
        })
    }

    /// How a new address was found.
    fn found(&self, write: &Write) -> Option<String> {
        let address = write.dn.rdn_value(attr::PROVOST_ADDRESS)?;
        Some(format!("{address}{}{}", self.colon(), self.naming_note(write.note.as_deref()?)))
    }

    /// A change of a plan with its kind in words and the attributes that change.
    fn what(&self, change: &PersonChange) -> String {
        if change.kind == ChangeKind::Class {
            return self.class_change(change);
        }
        let (verb, rest) = change.what.split_once(' ').unwrap_or((&change.what, ""));
        let verb = match verb {
            "create" => self.say("create", "créer"),
            "rename" => self.say("rename", "renommer"),
            "update" => self.say("update", "mettre à jour"),
            // An undo and what other modules plan describe themselves.
            _ => return self.address_end(change).unwrap_or_else(|| change.what.clone()),
        };
        if change.kind == ChangeKind::Create {
            return format!("{verb} {rest}");
        }
        let label = rest.rsplit_once(" (").map_or(rest, |(label, _)| label);
        let mut names: Vec<String> = Vec::new();
        for write in &change.writes {
            let of_person = write.is_of_person();
            let attributes = write.attributes.iter().map(|change| change.name.as_str());
            let attributes =
                attributes.filter(|name| of_person && ![attr::MAIL, attr::MAIL_LOCAL_ADDRESS].contains(name));
            names.extend(attributes.map(|name| self.attribute(name)));
            names.extend(write.password.map(|_| self.attribute(attr::USER_PASSWORD)));
            if !of_person && change.kind != ChangeKind::Rename {
                names.push(self.say("address entries", "entrées d’adresses").to_owned());
            }
        }
        names.dedup();
        if names.is_empty() { format!("{verb} {label}") } else { format!("{verb} {label} ({})", names.join(", ")) }
    }

    /// What becomes of the group of a class, with the numbers of people who come and go: their names are DNs.
    fn class_change(&self, change: &PersonChange) -> String {
        let members =
            change.writes.iter().flat_map(|write| &write.attributes).find(|change| change.name.is(attr::MEMBER));
        let Some(members) = members else { return self.in_french(change) };
        let (new, gone) = (members.after.len(), members.before.len());
        let counts = match members.how {
            ChangeMode::Exchange => format!("+{new} -{gone} {}", self.say("members", "membres")),
            ChangeMode::Set | ChangeMode::Add => format!("{new} {}", self.say("members", "membres")),
        };
        format!("{}{}{counts}", self.in_french(change), self.colon())
    }

    fn in_french(&self, change: &PersonChange) -> String {
        if self.language == super::Language::English {
            return change.what.clone();
        }
        let what = change.what.replacen("class ", "cours ", 1);
        let words = [(" is new", " est nouveau"), (" changes", " change"), (" ends", " prend fin")];
        words.iter().fold(what, |what, (english, french)| what.replacen(english, french, 1))
    }

    fn reason(&self, change: &PersonChange) -> String {
        let because = self.say("because", "parce que");
        let words = match self.language {
            super::Language::English => change.reason.words.clone(),
            super::Language::French => self.french_reason(change),
        };
        format!("{because} {words} [{}]", change.reason.rule)
    }

    fn french_reason(&self, change: &PersonChange) -> String {
        let values = |name: &str| {
            let mut all = change.writes.iter().flat_map(|write| &write.attributes);
            all.find(|change| change.name.is(name))
        };
        match change.reason.rule {
            ReasonRule::NameChanged => match values(attr::CN) {
                Some(name) => format!("le nom {} est devenu {}", name.before.join(", "), name.after.join(", ")),
                None => self.rule(&change.reason.rule.to_string()),
            },
            ReasonRule::UnknownPerson => match values(attr::PROVOST_SOURCE_ID) {
                Some(number) => format!("personne n’a le numéro {} dans l’annuaire", number.after.join(", ")),
                None => self.rule(&change.reason.rule.to_string()),
            },
            ReasonRule::PrimaryAddress => "la personne n’a pas d’adresse principale".to_owned(),
            ReasonRule::AddressEntry => {
                "une entrée d’adresse manque ou est d’une autre nature, ou la personne n’a pas de mot de passe"
                    .to_owned()
            }
            rule => self.rule(&rule.to_string()),
        }
    }

    /// The lines of one write.
    fn write(&self, write: &Write) -> Vec<String> {
        let address = write.dn.rdn_value(attr::PROVOST_ADDRESS);
        if let (Some(address), WriteKind::AddAddress) = (&address, &write.action) {
            return vec![self.new_address(address, &write.attributes)];
        }
        let about = address.map(|address| format!("{address}, ")).unwrap_or_default();
        let line = |change: &AttributeChange| format!("{about}{} [{}]", self.attribute_change(change), change.rule);
        let password = write.password.map(|of| {
            let text = self.say("that of line", "celui de la ligne");
            format!("{}{}{text} {}", self.attribute(attr::USER_PASSWORD), self.colon(), of.line)
        });
        write.attributes.iter().map(line).chain(password).collect()
    }

    fn new_address(&self, address: &str, attributes: &[AttributeChange]) -> String {
        let kind = attributes.iter().find(|change| change.name.is(attr::PROVOST_ADDRESS_KIND));
        let kind_words = kind.map(|kind| self.values(attr::PROVOST_ADDRESS_KIND, &kind.after)).unwrap_or_default();
        let rule = kind.map(|kind| format!(" [{}]", kind.rule)).unwrap_or_default();
        format!("{}{}{address} ({kind_words}){rule}", self.say("new address", "nouvelle adresse"), self.colon())
    }

    fn attribute_change(&self, change: &AttributeChange) -> String {
        let name = change.name.as_str();
        if is_secret(name) {
            return format!("{}{}{}", self.attribute(name), self.colon(), self.secret_change());
        }
        if change.how == ChangeMode::Add {
            let added: Vec<&String> = change.after.iter().filter(|value| !change.before.contains(value)).collect();
            let text = self.say("added", "en plus");
            return format!("{}{}{} {text}", self.attribute(name), self.colon(), self.values(name, &added));
        }
        if change.how == ChangeMode::Exchange {
            let (new, gone) = (change.after.len(), change.before.len());
            return format!("{}{}+{new} -{gone}", self.attribute(name), self.colon());
        }
        self.before_and_after(name, &change.before, &change.after)
    }

    fn before_and_after(&self, name: &str, before: &[String], after: &[String]) -> String {
        let values = |values| self.values(name, values);
        format!("{}{}{} -> {}", self.attribute(name), self.colon(), values(before), values(after))
    }

    fn secret_change(&self) -> &'static str {
        self.say("changed", "modifié")
    }

    /// What becomes of the login of a person whose name changed.
    fn login_after_rename(&self, change: &PersonChange) -> String {
        let mut changes = change.writes.iter().flat_map(|write| &write.attributes);
        if changes.any(|change| change.name.is(attr::UID)) {
            let text = self.say(
                "the login changes with the name, as the naming policy says",
                "le nom d’utilisateur change avec le nom, comme le veut la politique de nommage",
            );
            return format!("{text} [{}]", ReasonRule::Login);
        }
        let text = self.say(
            "login: stays as it is, since a rename by policy changes the address and not the login",
            "nom d’utilisateur : inchangé, car la politique change l’adresse et non le nom d’utilisateur",
        );
        format!("{text} [{}]", ReasonRule::Login)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::words::Language;

    #[test]
    fn recorded_changes_are_written_in_words() {
        let change = |attribute: &str, before: &[&str], after: &[&str]| ValueChange {
            address: None,
            attribute: attribute.to_owned(),
            before: before.iter().map(|value| (*value).to_owned()).collect(),
            after: after.iter().map(|value| (*value).to_owned()).collect(),
        };
        let words = |language| Words::new(language, TimeZone::UTC);
        let (english, french) = (words(Language::English), words(Language::French));
        for (change, expect, expect_french) in [
            (change("sn", &["Roy"], &["Tremblay"]), "family name: Roy -> Tremblay", "nom de famille : Roy -> Tremblay"),
            (
                change("provostEndDate", &[], &["20260531235959Z"]),
                "last day: none -> 2026-05-31",
                "dernier jour : aucun -> 2026-05-31",
            ),
            (change("userPassword", &["set"], &["set"]), "password: changed", "mot de passe : modifié"),
            (change("text_fr", &["A"], &[]), "French text: A -> none", "texte en français : A -> aucun"),
        ] {
            assert_eq!(
                (english.value_change(&change), french.value_change(&change)),
                (expect.into(), expect_french.into())
            );
        }
    }
}
