//! Unsubscribing by a token (RFC 8058). Only the hash of a token is kept: who reads the ledger cannot unsubscribe
//! others. Looking a token up never changes anything.

use super::{Ledger, SEND_COLUMNS, SendRow, queue_feedback};
use crate::error::ActivateError;
use crate::feedback::FeedbackKind;
use crate::mail::mask_address;
use kith_types::{ProfileId, SpaceId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

/// What an unsubscribe link is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The space.
    pub space: SpaceId,
    /// The message that carried the link.
    pub message: String,
    /// The category of consent that it ends.
    pub topic: String,
    /// Who sent it, as people know it.
    pub sender: String,
    /// The address, masked so far that only its owner knows it: `j…@example.com`.
    pub masked_address: String,
    /// The profile that the message went to.
    pub profile: ProfileId,
    /// When this link was used first, if it was.
    pub unsubscribed_at: Option<Timestamp>,
}

impl Ledger {
    /// What a token is about; `None` for a token that no mail carried.
    pub(crate) fn look_up(&self, token_hash: &[u8; 32]) -> Result<Option<Subscription>, ActivateError> {
        Ok(by_token(&self.connection(), token_hash)?.and_then(|send| subscription(&send)))
    }

    /// Suppresses the address for the topic and queues the event that withdraws consent, once a token.
    pub(crate) fn unsubscribe(
        &self,
        token_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Subscription, bool)>, ActivateError> {
        self.transaction(|ledger| {
            let Some(mut send) = by_token(ledger, token_hash)? else { return Ok(None) };
            let Some(topic) = send.topic.clone() else { return Ok(None) };
            const SUPPRESS: &str = "INSERT INTO suppressions (space, address, topic, reason, at) VALUES (?1, ?2, ?3, 'unsubscribed', ?4) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)";
            ledger.execute(SUPPRESS, params![send.space.as_str(), send.address, topic, now.as_micros()])?;
            let first = send.unsubscribed_at.is_none();
            if first {
                const MARK: &str = "UPDATE sends SET unsubscribed_at = ?2 WHERE id = ?1";
                ledger.execute(MARK, params![send.id, now.as_micros()])?;
                queue_feedback(ledger, &send, FeedbackKind::Unsubscribed, None, now)?;
                send.unsubscribed_at = Some(now);
            }
            Ok(subscription(&send).map(|subscription| (subscription, first)))
        })
    }
}

fn by_token(connection: &Connection, token_hash: &[u8; 32]) -> rusqlite::Result<Option<SendRow>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {SEND_COLUMNS} FROM sends WHERE token_hash = ?1"))?;
    statement.query_row([token_hash], SendRow::read).optional()
}

fn subscription(send: &SendRow) -> Option<Subscription> {
    Some(Subscription {
        space: send.space.clone(),
        message: send.message.clone(),
        topic: send.topic.clone()?,
        sender: send.sender.clone().unwrap_or_default(),
        masked_address: mask_address(&send.address),
        profile: send.profile,
        unsubscribed_at: send.unsubscribed_at,
    })
}
