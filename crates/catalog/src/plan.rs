//! What applying documents would change, before anything changes.

use crate::diff::line_diff;
use crate::spaces::require_space;
use crate::yaml::yaml_of;
use crate::{Catalog, CatalogError, CatalogErrorKind, DefinitionsDecision, Document, DocumentId, DocumentKind};
use kith_types::SpaceId;
use std::collections::{BTreeMap, BTreeSet};

/// The most documents of one proposal and of one space.
const PROPOSAL_DOCUMENTS_MAX: usize = 1_000;
const SPACE_DOCUMENTS_MAX: usize = 5_000;

/// Documents that somebody wants to have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposal {
    /// What shall be created or updated.
    pub documents: Vec<Document>,
    /// What shall be deleted.
    pub removals: Vec<DocumentId>,
    /// Whether every definition that `documents` does not hold shall be deleted; the limits of the space stay.
    pub prune: bool,
}

/// What would happen to a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeAction {
    /// It is new.
    Create,
    /// It says something else.
    Update,
    /// It goes.
    Delete,
    /// It stays as it is.
    Unchanged,
}

impl ChangeAction {
    /// The name that the API and the command line use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Unchanged => "unchanged",
        }
    }
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedChange {
    /// The definition.
    pub id: DocumentId,
    /// What would happen to it.
    pub action: ChangeAction,
    /// The difference of the two specs as YAML, line by line.
    pub diff: Vec<String>,
}

impl Catalog {
    /// What the proposal would change, in the order of kinds and names. Nothing is written.
    ///
    /// # Errors
    /// `NotFound` without the space or a definition to delete, `Invalid` for a document that stands twice or for
    /// too many at once, `Limit` where the space would have more than it may.
    pub fn plan(&self, space: &SpaceId, proposal: &Proposal) -> Result<Vec<PlannedChange>, CatalogError> {
        let current = self.current_by_id(space)?;
        let next = self.next_by_id(space, &current, proposal)?;
        let ids: BTreeSet<&DocumentId> = current.keys().chain(next.keys()).collect();
        let named: BTreeSet<DocumentId> = proposal.documents.iter().map(Document::id).collect();
        Ok(ids
            .into_iter()
            .map(|id| planned_change(id, current.get(id), next.get(id)))
            .filter(|change| change.action != ChangeAction::Unchanged || named.contains(&change.id))
            .collect())
    }

    /// All definitions that the space would have with the proposal applied: what a validator judges.
    ///
    /// # Errors
    /// As [`Catalog::plan`].
    pub fn definitions_after(&self, space: &SpaceId, proposal: &Proposal) -> Result<Vec<Document>, CatalogError> {
        let current = self.current_by_id(space)?;
        Ok(self.next_by_id(space, &current, proposal)?.into_values().collect())
    }

    /// The decision that applying the proposal would append to the log; `None` where nothing changes.
    ///
    /// # Errors
    /// As [`Catalog::plan`]; `Invalid` for an author or a reason that is too long.
    pub fn decision_for(
        &self,
        space: &SpaceId,
        proposal: &Proposal,
        author: &str,
        reason: &str,
    ) -> Result<Option<DefinitionsDecision>, CatalogError> {
        if author.len() > 256 || reason.len() > 4_096 {
            return Err(CatalogError::invalid(
                "an author has at most 256 bytes and a reason at most 4096",
            ));
        }
        let current = self.current_by_id(space)?;
        let next = self.next_by_id(space, &current, proposal)?;
        let applied: Vec<Document> = next
            .iter()
            .filter(|(id, document)| current.get(id) != Some(document))
            .map(|(_, document)| document.clone())
            .collect();
        let removed: Vec<DocumentId> = current.keys().filter(|id| !next.contains_key(id)).cloned().collect();
        if applied.is_empty() && removed.is_empty() {
            return Ok(None);
        }
        Ok(Some(DefinitionsDecision {
            author: author.to_owned(),
            reason: reason.to_owned(),
            applied,
            removed,
            when_ready: false,
        }))
    }

    fn next_by_id(
        &self,
        space: &SpaceId,
        current: &BTreeMap<DocumentId, Document>,
        proposal: &Proposal,
    ) -> Result<BTreeMap<DocumentId, Document>, CatalogError> {
        let next = next_definitions(space, current, proposal)?;
        self.check_counts(space, current, &next)?;
        Ok(next)
    }

    fn current_by_id(&self, space: &SpaceId) -> Result<BTreeMap<DocumentId, Document>, CatalogError> {
        require_space(&self.connection(), space)?;
        Ok(self
            .definitions(space)?
            .into_iter()
            .map(|document| (document.id(), document))
            .collect())
    }
}

fn next_definitions(
    space: &SpaceId,
    current: &BTreeMap<DocumentId, Document>,
    proposal: &Proposal,
) -> Result<BTreeMap<DocumentId, Document>, CatalogError> {
    if proposal.documents.len() + proposal.removals.len() > PROPOSAL_DOCUMENTS_MAX {
        let message = format!("at most {PROPOSAL_DOCUMENTS_MAX} documents can be applied at once: apply them in parts");
        return Err(CatalogError::invalid(message));
    }
    let mut next = if proposal.prune {
        // Limits are decided about a space, not by the folder that holds what it defines.
        let limits = current.iter().filter(|(id, _)| id.kind == DocumentKind::SpaceLimits);
        limits.map(|(id, document)| (id.clone(), document.clone())).collect()
    } else {
        current.clone()
    };
    let mut seen = BTreeSet::new();
    for document in &proposal.documents {
        if !seen.insert(document.id()) {
            return Err(CatalogError::invalid(format!(
                "{} stands twice: keep one",
                document.id()
            )));
        }
        next.insert(document.id(), document.clone());
    }
    for id in &proposal.removals {
        if !seen.insert(id.clone()) {
            return Err(CatalogError::invalid(format!(
                "{id} is both to be applied and to be deleted: choose"
            )));
        }
        if !current.contains_key(id) {
            return Err(CatalogError::not_found(format!("space {space} has no {id} to delete")));
        }
        next.remove(id);
    }
    if next.len() > SPACE_DOCUMENTS_MAX {
        let message = format!("a space holds at most {SPACE_DOCUMENTS_MAX} definitions");
        return Err(CatalogError::new(CatalogErrorKind::Limit, message));
    }
    Ok(next)
}

fn planned_change(id: &DocumentId, old: Option<&Document>, new: Option<&Document>) -> PlannedChange {
    let action = match (old, new) {
        (None, _) => ChangeAction::Create,
        (Some(_), None) => ChangeAction::Delete,
        (Some(old), Some(new)) if old == new => ChangeAction::Unchanged,
        (Some(_), Some(_)) => ChangeAction::Update,
    };
    let text = |document: Option<&Document>| document.map(|document| yaml_of(&document.spec)).unwrap_or_default();
    let diff = if action == ChangeAction::Unchanged {
        Vec::new()
    } else {
        line_diff(&text(old), &text(new))
    };
    PlannedChange {
        id: id.clone(),
        action,
        diff,
    }
}
