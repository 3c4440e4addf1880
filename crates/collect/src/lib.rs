//! The doors: the HTTP collection API.
