//! Audiences to messages: the send ledger and the channels.
