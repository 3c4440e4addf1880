//! What is wrong with a segment: where, what, and whether its own document or what it refers to must be mended.

use kith_expr::DocumentError;
use std::fmt;

/// What has to be done about a [`SegmentError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentErrorKind {
    /// The document does not say a segment: mend it at the place.
    Document,
    /// It names a computed trait or a segment that does not exist: define that first, or mend the name.
    UnknownReference,
    /// Segments refer to one another in a circle: take one of the references out.
    Cycle,
    /// It is larger than a stated limit: split it or make it simpler.
    Limit,
}

/// What is wrong with a segment. Its text is for the person who wrote the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentError {
    kind: SegmentErrorKind,
    segment: Box<str>,
    problem: DocumentError,
}

impl SegmentError {
    pub(crate) fn new(kind: SegmentErrorKind, segment: &str, problem: DocumentError) -> Self {
        Self {
            kind,
            segment: segment.into(),
            problem,
        }
    }

    /// What has to be done about the first mistake.
    #[must_use]
    pub fn kind(&self) -> SegmentErrorKind {
        self.kind
    }

    /// The segment's name as far as it is known, else empty.
    #[must_use]
    pub fn segment(&self) -> &str {
        &self.segment
    }

    /// What is wrong with its document, with the mistakes after the first.
    #[must_use]
    pub fn mistakes(&self) -> &DocumentError {
        &self.problem
    }

    /// The place of the first mistake in the document, such as `spec.where.all[0].performed.within`. Empty: the document as a whole.
    #[must_use]
    pub fn path(&self) -> &str {
        self.problem.path()
    }

    /// What is wrong there.
    #[must_use]
    pub fn problem(&self) -> &str {
        self.problem.problem()
    }
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.segment.is_empty() { "" } else { " " };
        write!(f, "segment{gap}{}: ", self.segment)?;
        self.problem.fmt(f)
    }
}

impl std::error::Error for SegmentError {}
