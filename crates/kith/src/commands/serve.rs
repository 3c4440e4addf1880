//! `kith serve`: starts a server, says where it is, and ends it in order when it is told to.
//!
//! A key that this start made is printed once and kept nowhere. What the server does is in [`crate::server`].

use crate::error::CommandError;
use crate::output::{self, Hint};
use crate::server::{Role, Server, ServerConfig, write_keys_of};
use clap::{Args, ValueEnum};
use kith_telemetry::{LogFormat, init_tracing};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Flags of `kith serve`.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// The folder for everything that the server keeps.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the doors and the API listen.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    http: SocketAddr,
    /// Where the PostgreSQL door would listen; this release has none.
    #[arg(long, value_name = "ADDR", hide = true)]
    pg: Option<String>,
    /// The parts that this process plays, of collect, pipeline, query, activate and api; all unless given.
    #[arg(long, value_name = "LIST")]
    roles: Option<String>,
    /// A file of settings: mail server, public URL, cache, raw zone. Flags go before it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The mail server that messages go through: HOST:PORT, or a URL that says whether to encrypt. One with a password goes
    /// into the variable KITH_SMTP, which says the same.
    #[arg(long, value_name = "ADDRESS")]
    smtp: Option<String>,
    /// How the world reaches this server: what links in messages begin with.
    #[arg(long, value_name = "URL")]
    public_url: Option<url::Url>,
    /// Keeps the raw zone in this bucket instead of the data folder: s3://BUCKET/PREFIX. Credentials, region and endpoint
    /// come from the AWS_* variables; the file of settings has the rest.
    #[arg(long, value_name = "URL")]
    raw: Option<String>,
    /// Accepts for good that the raw zone has lost these records, as the error named them; where a running server can be
    /// asked, `kith rebuild --accept-loss` does the same.
    #[arg(long, value_name = "RANGE")]
    accept_loss: Vec<String>,
    /// How log lines on standard error are written.
    #[arg(long, value_enum, default_value_t = LogLines::Human, value_name = "FORMAT")]
    log_format: LogLines,
    /// Prints the address, and the key where one was made, as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogLines {
    /// Text for a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

/// Runs a server until SIGTERM or SIGINT.
///
/// # Errors
/// What cannot be opened, bound or read.
pub(crate) async fn run(args: ServeArgs) -> Result<(), CommandError> {
    if args.pg.is_some() {
        let hint = Hint::new("leave --pg out; `kith sql` and POST /api/sql run SQL over the same tables");
        return Err(CommandError::caused("this release has no PostgreSQL door", hint));
    }
    let format = match args.log_format {
        LogLines::Human => LogFormat::Human,
        LogLines::Json => LogFormat::Json,
    };
    let filter = std::env::var("KITH_LOG").unwrap_or_else(|_| "info".to_owned());
    init_tracing(format, &filter)
        .map_err(|error| CommandError::caused("the logs cannot be set up by KITH_LOG", error))?;
    let config = configure(&args)?;
    // Set up before anything is open, so that an early signal is not lost.
    let mut stopping = Stopping::new()?;
    let server = Server::start(config, None).await?;
    announce(&server, args.json)?;
    let name = stopping.wait().await;
    tracing::info!(
        signal = name,
        "stopping: requests under way end, everything is committed"
    );
    tokio::select! {
        () = server.stop() => {
            tracing::info!("stopped");
            Ok(())
        }
        name = stopping.wait() => Err(CommandError::new(format!("stopped at once by a second {name}"))),
    }
}

fn configure(args: &ServeArgs) -> Result<ServerConfig, CommandError> {
    let mut config = ServerConfig::new(args.data.clone(), args.http);
    if let Some(file) = &args.config {
        config.read_file(file)?;
    }
    if let Some(list) = &args.roles {
        config.roles = Role::parse_list(list).map_err(CommandError::new)?;
    }
    let variable = std::env::var("KITH_SMTP").ok().filter(|address| !address.is_empty());
    if let Some(address) = smtp_address(args.smtp.as_deref(), variable)? {
        config.smtp.address = Some(address);
    }
    if let Some(url) = &args.public_url {
        config.public_url = Some(url.as_str().trim_end_matches('/').to_owned());
    }
    if let Some(url) = &args.raw {
        config.raw.url = Some(url.clone());
    }
    config.accept_loss.clone_from(&args.accept_loss);
    // The environment goes before the file, as elsewhere.
    // A variable that is not text is not ours.
    let variables =
        std::env::vars_os().filter_map(|(name, key)| Some((name.into_string().ok()?, key.into_string().ok()?)));
    config.write_keys.extend(write_keys_of(variables));
    config.admin_key = std::env::var("KITH_ADMIN_KEY").ok().filter(|key| !key.is_empty());
    check_links(&config)?;
    Ok(config)
}

/// The mail server's address, of the flag or else of the variable.
fn smtp_address(flag: Option<&str>, variable: Option<String>) -> Result<Option<String>, CommandError> {
    // Whatever stands before an @ may hold a password, readable as a URL or not.
    if flag.is_some_and(|address| address.contains('@')) {
        let hint = Hint::new("every process of the machine can read what --smtp says");
        return Err(CommandError::caused(
            "give a mail server's user and password in the variable KITH_SMTP, as the same URL, or in the file of settings",
            hint,
        ));
    }
    let (name, address) = match (flag, variable) {
        (Some(address), _) => ("--smtp", address.to_owned()),
        (None, Some(address)) => ("KITH_SMTP", address),
        (None, None) => return Ok(None),
    };
    let port = address
        .rsplit_once(':')
        .and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok())?);
    // A URL may leave its port out; it is read when sending starts.
    if port.is_none() && !address.contains("://") {
        return Err(CommandError::new(format!(
            "{name} is neither HOST:PORT, such as 127.0.0.1:1025, nor a URL such as smtps://HOST"
        )));
    }
    Ok(Some(address))
}

/// Marketing carries a link to unsubscribe, which must lead here from anywhere.
fn check_links(config: &ServerConfig) -> Result<(), CommandError> {
    let sends = config.smtp.address.is_some() && config.has(Role::Activate);
    match &config.public_url {
        // Canonical, since `::ffff:0.0.0.0` is every address, too.
        None if sends && config.http.ip().to_canonical().is_unspecified() => {
            let hint = Hint::new(
                "give --public-url, such as https://kith.example.com: it is what links to unsubscribe begin with",
            );
            Err(CommandError::caused(
                format!("nobody could follow a link to {}, and messages are sent", config.http),
                hint,
            ))
        }
        Some(url) if sends && leaves_in_clear(url) => {
            tracing::warn!(
                url,
                "links to unsubscribe are not https: mailbox providers ask for that"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether what follows a link that begins so travels in clear beyond this machine.
fn leaves_in_clear(public_url: &str) -> bool {
    let Ok(url) = url::Url::parse(public_url) else {
        return true;
    };
    let is_here = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() != "https" && !is_here
}

fn announce(server: &Server, json: bool) -> Result<(), CommandError> {
    let url = format!("http://{}", server.address);
    if json {
        let mut started = json!({ "url": url });
        if let Some(key) = &server.new_admin_key {
            started["admin_key"] = json!(key);
        }
        output::line(&started.to_string())?;
    } else {
        output::line(&format!("Kith {} listens on {url}", env!("CARGO_PKG_VERSION")))?;
        if let Some(key) = &server.new_admin_key {
            output::line("The administrator's key, shown this once and kept nowhere in clear:")?;
            output::line(&format!("\n  export KITH_URL={url} KITH_KEY={key}\n"))?;
        }
    }
    output::flush()
}

/// The signals that end a server.
struct Stopping {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stopping {
    fn new() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(|error| CommandError::caused("signals cannot be listened for", error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: ServeArgs,
    }

    #[test]
    fn act_3_the_mail_server_is_an_address_or_a_url_and_no_error_repeats_a_password() {
        let configured = |smtp: &str| {
            let line = Line::parse_from(["kith", "--data", "/nowhere", "--smtp", smtp]);
            configure(&line.serve).map(|config| config.smtp.address)
        };
        for right in ["127.0.0.1:1025", "smtps://mail.example.com", "smtp://127.0.0.1:25"] {
            assert_eq!(configured(right).unwrap().as_deref(), Some(right));
        }
        for wrong in ["mail.example.com", "jo:pass", ":25"] {
            let error = configured(wrong).unwrap_err().to_string();
            assert!(error.contains("HOST:PORT") && !error.contains("jo:pass"), "{error}");
        }
    }

    #[test]
    fn a_password_of_the_mail_server_is_refused_where_others_can_read_it() {
        for flag in [
            "smtps://jo:secret@mail.example.com",
            "jo:secret@mail.example.com:25",
            "smtps://jo:se#cret@mail.example.com",
        ] {
            let told = output::causes(&smtp_address(Some(flag), None).unwrap_err());
            assert!(told.contains("KITH_SMTP") && !told.contains("cret"), "{told}");
        }
        let of_variable = "smtps://jo:secret@mail.example.com".to_owned();
        assert_eq!(
            smtp_address(None, Some(of_variable.clone())).unwrap(),
            Some(of_variable.clone())
        );
        let flag = smtp_address(Some("127.0.0.1:1025"), Some(of_variable)).unwrap();
        assert_eq!(flag.as_deref(), Some("127.0.0.1:1025"));
        assert_eq!(smtp_address(None, None).unwrap(), None);
        assert!(smtp_address(Some("mail.example.com"), None).is_err());
    }

    #[test]
    fn act_6_who_sends_says_where_links_lead_unless_the_address_says_it() {
        let of = |http: &str, smtp: Option<&str>, url: Option<&str>| {
            let mut config = ServerConfig::new(PathBuf::from("data"), http.parse().unwrap());
            config.smtp.address = smtp.map(str::to_owned);
            config.public_url = url.map(str::to_owned);
            check_links(&config)
        };
        let mail = Some("127.0.0.1:1025");
        assert!(of("0.0.0.0:8080", mail, None).is_err());
        assert!(of("[::]:8080", mail, None).is_err());
        assert!(of("[::ffff:0.0.0.0]:8080", mail, None).is_err());
        of("0.0.0.0:8080", mail, Some("https://kith.example.com")).unwrap();
        of("0.0.0.0:8080", None, None).unwrap();
        of("127.0.0.1:8080", mail, None).unwrap();
        of("10.0.0.5:8080", mail, None).unwrap();
    }

    #[test]
    fn act_6_links_that_travel_in_clear_beyond_this_machine_are_warned_of() {
        for clear in [
            "http://kith.example.com",
            "http://10.0.0.5:8080",
            "http://127.0.0.1.example.com",
            "kith",
        ] {
            assert!(leaves_in_clear(clear), "{clear}");
        }
        for fine in [
            "https://kith.example.com",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost:8080",
        ] {
            assert!(!leaves_in_clear(fine), "{fine}");
        }
    }
}
