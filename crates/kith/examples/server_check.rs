//! Temporary check of the server's wiring.
#![allow(dead_code, clippy::allow_attributes_without_reason)]
#[path = "../src/error.rs"]
mod error;
#[path = "../src/server/mod.rs"]
mod server;

#[tokio::main]
async fn main() {
    kith_telemetry::init_tracing(kith_telemetry::LogFormat::Human, "info").unwrap();
    let mut config = server::ServerConfig::new(std::env::args().nth(1).unwrap().into(), "127.0.0.1:8099".parse().unwrap());
    config.admin_key = std::env::var("KITH_ADMIN_KEY").ok();
    let server = server::Server::start(config, None).await.unwrap_or_else(|e| panic!("{}", kith_telemetry::error_chain(&e)));
    tracing::info!(key = server.new_admin_key, "up");
    tokio::signal::ctrl_c().await.unwrap();
    server.stop().await;
}
