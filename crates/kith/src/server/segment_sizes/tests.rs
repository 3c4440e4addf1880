//! Sizes on a clock that the test moves: counting takes what the test says that it takes.

use super::{Counted, Counting, SegmentSizes};
use kith_types::{Duration, ManualClock, SpaceId, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

const LIVE: Counting = Counting {
    version: 1,
    whole: true,
};

struct World {
    clock: Arc<ManualClock>,
    sizes: Arc<SegmentSizes>,
    /// How many members there are.
    members: u64,
    /// What counting them takes.
    takes: Duration,
}

impl World {
    fn new(takes: Duration) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
        Self {
            sizes: Arc::new(SegmentSizes::new(clock.clone())),
            clock,
            members: 0,
            takes,
        }
    }

    async fn ask(&self, of: Counting) -> Arc<Counted> {
        let (clock, members, takes) = (Arc::clone(&self.clock), self.members, self.takes);
        let count = move || {
            clock.advance(takes);
            Ok(BTreeMap::from([("vip".parse().unwrap(), members)]))
        };
        self.sizes.of(&SpaceId::main(), of, count).await.unwrap()
    }

    /// Somebody enters; what the list says then.
    async fn after_one_more(&mut self, of: Counting) -> u64 {
        self.members += 1;
        let counted = self.ask(of).await;
        size(&counted)
    }

    fn clock_now(&self) -> Timestamp {
        use kith_types::Clock;
        self.clock.now()
    }

    fn passes(&self, span: Duration) {
        self.clock.advance(span);
    }
}

fn size(counted: &Counted) -> u64 {
    counted.sizes[&"vip".parse().unwrap()]
}

#[tokio::test]
async fn seg_2_sizes_that_are_counted_at_once_are_of_the_moment() {
    let mut world = World::new(Duration::from_millis(9));
    for members in 1..=3 {
        assert_eq!(world.after_one_more(LIVE).await, members);
    }
}

#[tokio::test]
async fn seg_2_sizes_that_take_long_are_counted_for_a_tenth_of_the_time() {
    let mut world = World::new(Duration::from_secs(2));
    let begun = world.clock_now();
    assert_eq!(world.ask(LIVE).await.counted_at, begun);
    world.passes(Duration::from_micros(17_999_999));
    let again = world.ask(LIVE).await;
    assert_eq!((again.counted_at, world.after_one_more(LIVE).await), (begun, 0));
    world.passes(Duration::from_micros(1));
    assert_eq!(world.after_one_more(LIVE).await, 2, "ten times as old as it took");
    let mut counts = std::collections::BTreeSet::new();
    let (from, mut asked) = (world.clock_now(), 0);
    while world.clock_now().as_micros() < from.as_micros() + 200_000_000 {
        counts.insert(world.ask(LIVE).await.counted_at);
        world.passes(Duration::from_millis(100));
        asked += 1;
    }
    assert!(asked > 1_000, "{asked}");
    assert!(
        (10..=11).contains(&counts.len()),
        "{} counts of 2 s in 200 s",
        counts.len()
    );
}

#[tokio::test]
async fn seg_2_a_kept_size_ends_with_what_it_was_counted_of() {
    let mut world = World::new(Duration::from_secs(2));
    assert_eq!(world.after_one_more(LIVE).await, 1);
    let applied = Counting { version: 2, ..LIVE };
    let folding = Counting {
        whole: false,
        ..applied
    };
    assert_eq!(
        world.after_one_more(folding).await,
        2,
        "a decision made other definitions"
    );
    assert_eq!(world.after_one_more(folding).await, 2);
    assert_eq!(world.after_one_more(applied).await, 4, "all history is folded");
    assert_eq!(world.after_one_more(applied).await, 4);
}

#[tokio::test]
async fn seg_2_a_clock_that_is_set_keeps_no_size_for_long() {
    let mut world = World::new(Duration::from_secs(2));
    assert_eq!(world.after_one_more(LIVE).await, 1);
    let now = world.clock_now();
    world.clock.set(Timestamp::from_micros(now.as_micros() - 3_600_000_000));
    assert_eq!(world.after_one_more(LIVE).await, 2, "counted in what is the future now");
    // A day seems to go by while they are counted.
    world.takes = Duration::from_secs(86_400);
    world.passes(Duration::from_secs(100));
    assert_eq!(world.after_one_more(LIVE).await, 3);
    world.passes(Duration::from_secs(1));
    world.takes = Duration::from_secs(2);
    assert_eq!(world.after_one_more(LIVE).await, 4, "older than ten minutes");
}

/// A count that goes on until it is told to end, and tells when it has begun.
fn held(members: u64) -> (Receiver<()>, Sender<()>, impl FnOnce() -> Counts + Send + 'static) {
    let (begins, begun) = channel();
    let (end, ends) = channel();
    let count = move || {
        begins.send(()).unwrap();
        ends.recv().unwrap();
        Ok(BTreeMap::from([("vip".parse().unwrap(), members)]))
    };
    (begun, end, count)
}

type Counts = Result<BTreeMap<kith_types::SegmentName, u64>, kith_pipeline::PipelineError>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seg_2_whoever_asks_while_sizes_are_counted_shares_the_count_that_begins_after() {
    let world = World::new(Duration::from_micros(0));
    let (begun, end, count) = held(1);
    let sizes = Arc::clone(&world.sizes);
    let first = tokio::spawn(async move { sizes.of(&SpaceId::main(), LIVE, count).await.unwrap() });
    begun.recv().unwrap();
    // Two ask while it is counted: what they saw happen before may be missing from that count, and is in the next.
    let (second_begun, second_end, second) = held(2);
    let asked = {
        let sizes = Arc::clone(&world.sizes);
        let waiting = async move { sizes.of(&SpaceId::main(), LIVE, second).await.unwrap() };
        let mut waiting = Box::pin(waiting);
        assert!(at_once(&mut waiting).await.is_none());
        let sizes = Arc::clone(&world.sizes);
        let third = async move {
            sizes
                .of(&SpaceId::main(), LIVE, || unreachable!("it shares"))
                .await
                .unwrap()
        };
        let mut third = Box::pin(third);
        assert!(at_once(&mut third).await.is_none());
        (tokio::spawn(waiting), tokio::spawn(third))
    };
    end.send(()).unwrap();
    assert_eq!(size(&first.await.unwrap()), 1);
    second_begun.recv().unwrap();
    second_end.send(()).unwrap();
    assert_eq!(size(&asked.0.await.unwrap()), 2);
    assert_eq!(size(&asked.1.await.unwrap()), 2);
}

/// What a future gives at once.
async fn at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
