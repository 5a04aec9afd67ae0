//! The rules of plans in words.

use super::Words;
use crate::ReasonRule;

impl Words {
    /// What the rule with an id says; the id itself when this version has no such rule.
    pub fn rule(&self, id: &str) -> String {
        let Some(rule) = ReasonRule::parse(id) else { return id.to_owned() };
        let text = match rule {
            ReasonRule::Column(column) => {
                return format!("{} {column}", self.say("the column", "la colonne"));
            }
            ReasonRule::Blank(column) => {
                let text = self.say("the blank cell of the column", "la cellule vide de la colonne");
                return format!("{text} {column}");
            }
            ReasonRule::FullName => self.say("given name and family name", "prénom et nom de famille"),
            ReasonRule::SourceNumber => {
                self.say("the source and its number for the person", "la source et son numéro pour la personne")
            }
            ReasonRule::PersonId => self.say("the id made from the number", "l’identifiant tiré du numéro"),
            ReasonRule::Login => self.say(
                "the login made from the name; once given, it stays",
                "le nom d’utilisateur tiré du nom; il reste",
            ),
            ReasonRule::PrimaryAddress => {
                self.say("the primary address made from the name", "l’adresse principale tirée du nom")
            }
            ReasonRule::KeptAddress => {
                self.say("an address of the person stays theirs", "une adresse de la personne lui reste")
            }
            ReasonRule::RetainedAddress => self.say(
                "a former primary address stays for the time that the policy states",
                "une ancienne adresse principale reste le temps que fixe la politique",
            ),
            ReasonRule::AddressEnded => self.say("the time of the address is over", "le temps de l’adresse est écoulé"),
            ReasonRule::QuarantineEnded => {
                self.say("the quarantine of the address is over", "la quarantaine de l’adresse est finie")
            }
            ReasonRule::AlumniAddress => {
                self.say("alumni get an address in their domain", "les diplômés ont une adresse dans leur domaine")
            }
            ReasonRule::FurtherAddress => {
                self.say("a further address that the policy gives", "une autre adresse que donne la politique")
            }
            ReasonRule::AddressEntry => {
                self.say("each address has an entry of its kind", "chaque adresse a une entrée de sa nature")
            }
            ReasonRule::NewAccount => self.say("a new account is active", "un nouveau compte est actif"),
            ReasonRule::UnknownPerson => self.say("no person has the number", "personne n’a ce numéro"),
            ReasonRule::NameChanged => self.say("the name changed", "le nom a changé"),
            ReasonRule::RecordDiffers => {
                self.say("the record differs from the directory", "la ligne diffère de l’annuaire")
            }
            ReasonRule::BatchUndone => self.say("the batch is undone", "le lot est annulé"),
            ReasonRule::LifecycleStaged => {
                self.say("the first affiliation begins later", "la première affiliation commence plus tard")
            }
            ReasonRule::LifecycleAffiliated => {
                self.say("the person has an affiliation", "la personne a une affiliation")
            }
            ReasonRule::LifecyclePhase => self.say(
                "the last affiliation has ended, and a phase of the policy runs",
                "la dernière affiliation a pris fin, et une phase de la politique court",
            ),
            ReasonRule::LifecycleEnded => {
                self.say("all phases of the policy have ended", "toutes les phases de la politique ont pris fin")
            }
            ReasonRule::Absent => self.say(
                "a complete file of the source does not name the person",
                "un fichier complet de la source ne nomme pas la personne",
            ),
            ReasonRule::Present => self.say(
                "a file of the source names the person again",
                "un fichier de la source nomme de nouveau la personne",
            ),
            ReasonRule::Enrolment => {
                self.say("the enrolments of a source name the class", "les inscriptions d’une source nomment le cours")
            }
            ReasonRule::ClassEnded => self.say("the term of the class is over", "le trimestre du cours est terminé"),
            ReasonRule::LifecyclePurge => self.say(
                "a closed account is purged by its policy or by two people",
                "un compte fermé est supprimé par sa politique ou par deux personnes",
            ),
            // Rules of other modules are known by their ids until they have words here.
            #[allow(unreachable_patterns, reason = "a new rule must not break the words of the others")]
            _ => return id.to_owned(),
        };
        text.to_owned()
    }
}
