//! Brings people into the directory in four steps: sources, wanted state, plan, apply. Also holds the small changes
//! that a help desk makes.
//!
//! [`wanted`] and [`plan`] are pure. Applying sends ordered single-entry writes: each intermediate state is valid, each
//! write is repeatable and has a receipt in a journal. The CLI, the REST API and the web pages call the same functions.
//! [`Desk`] takes a [`Principal`] and decides what it may do.

mod activation;
mod apply;
mod attribute_change;
mod attributes;
mod audit;
mod audit_csv;
mod calendar;
mod desk;
mod explain;
mod followed;
mod guard;
mod history;
mod journal;
mod kept_plans;
mod lifecycle;
mod manual_origin;
mod naming;
mod outbox;
mod people_list;
mod person_lock;
mod person_mail;
mod plan;
mod policies;
mod policy_documents;
mod principal;
mod recorded_change;
mod role;
mod role_address;
mod rule;
mod settings;
mod simulation;
mod text_form;
mod tree;
mod wanted;
mod words;
mod write;

// The modules here name the reading crate by the part that it is.
use provost_source as source;

pub use activation::{LetterPages, LetterSite};
pub use apply::{Applier, ApplyError, ApplyProgress, BatchOptions, GuardStop, OnProgress, Outcomes};
pub use attribute_change::{AttributeChange, ChangeMode};
pub use audit::{AUDIT_RECORD_OCTETS_MAX, Actor, Audit, AuditLog, AuditRecord};
pub use audit_csv::{audit_csv_header, audit_csv_lines};
pub use desk::{
    ActivatedPerson, ActivationCandidates, ActivationLetter, ActivationSelection, AddressInfo, AnnouncedLoss,
    AuditPage, AuditSelection, BatchSummary, ChangeTarget, CredentialDetail, DatedValue, Desk, DeskError,
    ExpectedVersion, ForwardingChange, GROUPS_LISTED_MAX, GroupDetail, GroupMember, GroupRules, GroupSummary,
    HISTORY_MAX, ImportError, ImportOptions, Invitee, KeptPlanUseError, ListedPage, LockRequest, MEMBERS_SHOWN_MAX,
    NamedPerson, NoticesSent, OBJECTION_CHARS_MAX, Objection, PEOPLE_PAGE_MAX, PersonDetail, PersonNotice,
    PersonSummary, PersonTimeline, PlanApproval, PlannedImport, PurgeOutcome, QuotaChange, RoleAddress,
    SEARCH_RESULTS_MAX, SentActivation, SimulatedFeed, SimulationReport, StatedSetting, StoredPassword, UndoError,
    VacationChange,
};
pub use explain::{
    AddressExplanation, AddressHolder, ExplainedAddress, ExplainedLock, ExplainedOrigin, ExplainedState,
    ExplainedValue, Explanation, FileOrigin, MailDestination, PersonExplanation, RecordedOrigin,
};
pub use followed::{
    FollowError, FollowedAccess, FollowedChanges, FollowedDirectory, FollowedStep, FollowedStream, check_entries,
};
pub use guard::{CohortCount, GuardReport, GuardTrip, PlanEffect};
pub use history::{HistoryEntry, ImportRow, ValueChange};
pub use journal::{BeginLine, EndLine, JOURNAL_VERSION, JournalError, Journals, KeptBatch, Receipt, WriteOutcome};
pub use kept_plans::{KeptPlan, KeptPlanError};
pub use manual_origin::ManualOrigin;
pub use naming::{NameConflict, NamingNote, fold_name};
pub use outbox::{MailCondition, MailOutbox, OutgoingMail};
pub use people_list::{LIST_COLUMNS, ListColumn, ListedPerson, PeopleFilter, csv_cell, csv_line};
pub use person_lock::PersonLock;
pub use plan::{
    ChangeKind, DirectoryContent, PLAN_OCTETS_MAX, PLAN_VERSION, PersonChange, Plan, PlanError, PlanFileError,
    PlanOrigin, PlanSummary, Reason, SourceStamp, WrittenEntries, complete, plan, plan_undo,
};
pub use policies::{AffiliationPolicy, BUILT_IN_POLICIES, NamingPolicy, Policies};
pub use policy_documents::{PoliciesError, read_policies};
pub use principal::Principal;
pub use provost_source::{
    Affiliation, AffiliationRow, Column, Coverage, CsvOptions, Encoding, Enrolment, EnrolmentRole, Enrolments,
    FILE_MIB_MAX, FileError, FileFormat, FollowedFile, MoreFields, ProfileError, REGISTRAR, ROWS_MAX, ReadOptions,
    RecordError, RecordRef, RejectsError, Severity, Source, SourceProfile, SourceRecord, check_source_name, read_file,
    read_source, rejects_file,
};
pub use role::{Grant, Permission, ROLES, Role, TABLE};
pub use rule::ReasonRule;
pub use settings::{ProvisionSettings, SettingsSource, read_domains, read_shared_settings};
pub use simulation::{SimulatedChange, SimulatedEvent, Simulation, SimulationSettings};
pub use tree::{base_tree, ensure_tree};
pub use wanted::{
    InitialPasswords, RecordAttribute, WantedAddress, WantedOrigin, WantedPerson, WantedState, WantedValue, wanted,
};
pub use words::{Language, Words};
pub use write::{AddressKind, Write, WriteKind};
