//! A network between a client and a server that fails by a seed: connections that end before a request, after it and
//! before its answer, in the middle of an answer, and answers of 503.
//!
//! It knows no protocol but the one answer that it gives itself. What a fault does to a request is the test's to find.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What befalls a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It ends before anything is passed on.
    Refused,
    /// The request arrives, and its answer is lost.
    AnswerLost,
    /// A part of the answer arrives.
    AnswerCut,
    /// Somebody in between answers 503.
    Busy,
    /// The request arrives in part.
    RequestCut,
}

const FAULTS: [Fault; 5] = [
    Fault::Refused,
    Fault::AnswerLost,
    Fault::AnswerCut,
    Fault::Busy,
    Fault::RequestCut,
];
const BUSY: &[u8] = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A way to a port of loopback on which connections fail.
pub struct FailingNetwork {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    seed: u64,
    connections: AtomicU64,
    /// How many of a hundred connections fail.
    percent: AtomicU32,
    faults: AtomicU64,
}

impl FailingNetwork {
    /// Opens one to a port; of a hundred connections `percent` fail.
    pub async fn open(target: u16, seed: u64, percent: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            seed,
            connections: AtomicU64::new(0),
            percent: AtomicU32::new(percent),
            faults: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    // A connection that ends is what this is for.
                    drop(shared.carry(stream).await);
                });
            }
        });
        Self { address, shared }
    }

    /// Where to connect to.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets how many of a hundred connections fail from now on.
    pub fn fail(&self, percent: u32) {
        self.shared.percent.store(percent, Ordering::Relaxed);
    }

    /// How many faults there were.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn draw(&self) -> (Fault, usize) {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let mut dice = ChaCha8Rng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(number));
        if dice.random_range(0..100) >= self.percent.load(Ordering::Relaxed) {
            return (Fault::None, 0);
        }
        self.faults.fetch_add(1, Ordering::Relaxed);
        (FAULTS[dice.random_range(0..FAULTS.len())], dice.random_range(1..400))
    }

    async fn carry(&self, mut client: TcpStream) -> std::io::Result<()> {
        let (fault, cut_after) = self.draw();
        if fault == Fault::Refused {
            return Ok(());
        }
        if fault == Fault::Busy {
            // The head of the request at least is read, so that the answer is not lost with the connection.
            let _read = client.read(&mut vec![0; 16 << 10]).await?;
            client.write_all(BUSY).await?;
            return client.shutdown().await;
        }
        let mut server = TcpStream::connect(("127.0.0.1", self.target)).await?;
        let (mut there, mut back) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        let (mut sent, mut received) = (0, 0);
        loop {
            tokio::select! {
                read = client.read(&mut there) => {
                    let read = read?;
                    if read == 0 {
                        return Ok(());
                    }
                    let room = if fault == Fault::RequestCut { cut_after.saturating_sub(sent).min(read) } else { read };
                    server.write_all(&there[..room]).await?;
                    sent += room;
                    if room < read {
                        return Ok(());
                    }
                }
                read = server.read(&mut back) => {
                    let read = read?;
                    if read == 0 || fault == Fault::AnswerLost {
                        return Ok(());
                    }
                    let room = if fault == Fault::AnswerCut { cut_after.saturating_sub(received).min(read) } else { read };
                    client.write_all(&back[..room]).await?;
                    received += room;
                    if room < read {
                        return Ok(());
                    }
                }
            }
        }
    }
}
