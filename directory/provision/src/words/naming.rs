//! How an address was found, in words.

use super::Words;
use crate::{NameConflict, NamingNote};

impl Words {
    /// `policy students-2027, {given}.{family}; zoe.roy: the address of Zoé Roy`.
    pub fn naming_note(&self, note: &NamingNote) -> String {
        let policy = self.say("policy", "politique");
        let found = format!("{policy} {}, {}", note.policy, note.pattern);
        match (&note.wanted, &note.conflict) {
            (Some(wanted), Some(conflict)) => {
                format!("{found}; {wanted}{}{}", self.colon(), self.conflict(conflict))
            }
            _ => found,
        }
    }

    fn conflict(&self, conflict: &NameConflict) -> String {
        if self.language == super::Language::English {
            return conflict.to_string();
        }
        match conflict {
            NameConflict::Reserved => "le nom d’un service".to_owned(),
            NameConflict::Lookalike => "ressemble au nom d’un service".to_owned(),
            NameConflict::Vetted => "un mot dont l’établissement ne veut pas".to_owned(),
            NameConflict::Held(who) => format!("l’adresse de {who}"),
            NameConflict::Quarantined => "en quarantaine".to_owned(),
            NameConflict::Login(who) => format!("le nom d’utilisateur de {who}"),
            NameConflict::Line(line) => format!("donné à la personne de la ligne {line}"),
        }
    }
}
