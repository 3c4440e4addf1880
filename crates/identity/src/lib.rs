//! Evidence to who is who.
