//! Wiring of activation.

use super::{Parts, ServerConfig};
use crate::error::CommandError;
use async_trait::async_trait;
use kith_api::ports::{PortError, Subscription, Unsubscribe};
use std::sync::Arc;

pub(crate) struct Activation;
impl Activation {
    pub(crate) fn paused(&self) -> Vec<kith_types::SpaceId> { Vec::new() }
    pub(crate) fn pause(&self, _: &kith_types::SpaceId, _: bool) -> Result<(), std::io::Error> { Ok(()) }
}
pub(crate) fn start(_: &ServerConfig, _: std::net::SocketAddr, inbox: std::sync::mpsc::Receiver<Arc<kith_pipeline::StepOutput>>) -> Result<Arc<Activation>, CommandError> {
    std::thread::spawn(move || for _ in inbox {});
    Ok(Arc::new(Activation))
}
pub(crate) struct Links(pub(crate) Arc<Parts>);
#[async_trait]
impl Unsubscribe for Links {
    async fn look_up(&self, _: &str) -> Result<Option<Subscription>, PortError> { Ok(None) }
    async fn unsubscribe(&self, _: &str) -> Result<Option<Subscription>, PortError> { Ok(None) }
}
