//! An S3 server of its own for a test: versitygw over a folder, with a plain bucket, one with object lock, and versions.
//!
//! It can be killed and started again on the same folder and port. Its objects are files, which a test may spoil.

use kith_s3::{Credentials, Patience, S3Settings};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ACCESS_KEY: &str = "kith-test";
const SECRET_KEY: &str = "kith-test-secret";
const STARTS_WITHIN: Duration = Duration::from_secs(30);
const PORTS_TRIED: usize = 5;

/// A running server.
pub struct S3Server {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl S3Server {
    /// The bucket without object lock and without versions.
    pub const PLAIN: &'static str = "plain";
    /// The bucket with object lock.
    pub const LOCKED: &'static str = "locked";

    /// Starts one with both buckets; none where the peers are not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        std::env::var_os("KITH_PEERS")?;
        let folder = TempDir::new().unwrap();
        for name in ["objects", "versions"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut server = Self {
            folder,
            port: 0,
            child: None,
        };
        // A port that is free now may be another's by the time the server asks for it.
        for left in (0..PORTS_TRIED).rev() {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            server.port = free.local_addr().unwrap().port();
            drop(free);
            match server.listen() {
                Ok(()) => break,
                Err(error) => assert!(left > 0, "{error}"),
            }
            server.kill();
        }
        let script = repository().join("tests/peers/raw/make_buckets.py");
        let python = std::env::var("KITH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut making = Command::new(python);
        making.arg(script).args([&server.endpoint(), Self::PLAIN, Self::LOCKED]);
        making
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        let made = making.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder in which a bucket's objects lie as files.
    #[must_use]
    pub fn files(&self, bucket: &str) -> PathBuf {
        self.folder.path().join("objects").join(bucket)
    }

    /// Settings for a bucket of it, with little patience and short pages.
    #[must_use]
    pub fn settings(&self, bucket: &str, prefix: &str) -> S3Settings {
        S3Settings {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: Some(self.endpoint()),
            region: "us-east-1".to_owned(),
            path_style: true,
            credentials: Credentials {
                access_key_id: ACCESS_KEY.to_owned(),
                secret_access_key: SECRET_KEY.to_owned(),
                session_token: None,
            },
            authorities: None,
            patience: Patience {
                connect: Duration::from_secs(2),
                answer: Duration::from_secs(5),
                tries: 3,
                pause: Duration::from_millis(5),
            },
            names_per_page: 3,
        }
    }

    /// Ends it as a fault would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended already needs no more.
            drop(child.kill());
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same folder and port.
    pub fn start_again(&mut self) {
        self.listen().unwrap();
    }

    fn listen(&mut self) -> Result<(), String> {
        let folder = self.folder.path();
        let log = std::fs::File::create(folder.join("server.log")).unwrap();
        let mut command = Command::new(binary());
        command
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", SECRET_KEY);
        command.args(["--port", &format!("127.0.0.1:{}", self.port), "posix"]);
        command.arg("--versioning-dir").arg(folder.join("versions"));
        command.arg(folder.join("objects"));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
        let said = || std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        let deadline = Instant::now() + STARTS_WITHIN;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if Instant::now() > deadline {
                return Err(format!("the S3 server does not listen: {}", said()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // What answers may be another that took the port meanwhile.
        match self.child.as_mut().unwrap().try_wait().unwrap() {
            Some(status) => Err(format!("the S3 server has ended: {status}: {}", said())),
            None => Ok(()),
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn binary() -> PathBuf {
    let cache = std::env::var("CACHE").map_or_else(|_| repository().join(".cache"), PathBuf::from);
    std::env::var("KITH_VERSITYGW").map_or_else(|_| cache.join("bin/versitygw"), PathBuf::from)
}
