//! A commit that fails ends the store: nothing of it is read from memory, and nothing follows it.

use super::*;

const TREE: Keyspace = Keyspace::Parts;

fn batch(pairs: &[(&str, Option<&str>)]) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in pairs {
        let key = key.as_bytes().to_vec();
        match value {
            Some(value) => batch.put(TREE, key, value.as_bytes().to_vec()),
            None => batch.remove(TREE, key),
        }
    }
    batch
}

fn broken() -> fjall::Result<()> {
    Err(fjall::Error::Io(std::io::Error::other("no space is left")))
}

/// What memory and the trees say of a key must be the same.
fn agree(store: &OpenStore, keys: &[&str]) {
    for key in keys.iter().map(|key| key.as_bytes()) {
        let tree = store.trees[TREE as usize].get(key).unwrap().map(|value| value.to_vec());
        for _ in 0..2 {
            assert_eq!(store.get(TREE, key).unwrap(), tree, "{key:?}");
        }
    }
}

/// What a new snapshot must say.
fn shows(store: &OpenStore, rows: &[(&str, Option<&str>)]) {
    let snapshot = store.snapshot();
    for (key, value) in rows {
        for _ in 0..2 {
            let shown = snapshot.get(TREE, key.as_bytes()).unwrap();
            assert_eq!(shown.as_deref(), value.map(str::as_bytes), "{key}");
        }
    }
}

#[test]
fn log_1_readers_see_a_commit_once_it_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let store = OpenStore::open(folder.path(), 8 << 20).unwrap();
    store.commit(batch(&[("a", Some("1"))])).unwrap();
    let persist = || {
        shows(&store, &[("a", Some("1")), ("b", None)]);
        store.database.persist(PersistMode::SyncData)
    };
    let step = batch(&[("a", Some("2")), ("b", Some("2"))]);
    store.commit_by(step, |changes| store.apply(changes), persist).unwrap();
    shows(&store, &[("a", Some("2")), ("b", Some("2"))]);
    // Another thread's commit syncs the journal with what this one has applied: both are shown then.
    let persist = || {
        store.commit(batch(&[("c", Some("3"))])).unwrap();
        shows(&store, &[("a", Some("3")), ("c", Some("3"))]);
        Ok(())
    };
    let step = batch(&[("a", Some("3"))]);
    store.commit_by(step, |changes| store.apply(changes), persist).unwrap();
    shows(&store, &[("a", Some("3")), ("c", Some("3"))]);
}

#[test]
fn log_1_after_a_commit_that_failed_no_other_follows_and_memory_says_what_the_trees_say() {
    let keys = ["a", "b", "c", "d"];
    for fails_at_applying in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let store = OpenStore::open(folder.path(), 8 << 20).unwrap();
        store.commit(batch(&[("a", Some("1")), ("b", Some("1"))])).unwrap();
        agree(&store, &keys);
        let before = store.snapshot();
        let step = batch(&[("a", Some("2")), ("b", None), ("c", Some("2"))]);
        let refused = match fails_at_applying {
            true => store.commit_by(step, |_| broken(), || Ok(())),
            false => store.commit_by(step, |changes| store.apply(changes), broken),
        };
        assert_eq!(refused.unwrap_err().kind(), StateErrorKind::Failed);
        // However many follow: an even number of failures must not make the rows count as whole again.
        for at in 0..3 {
            agree(&store, &keys);
            shows(&store, &[("a", Some("1")), ("b", Some("1")), ("c", None), ("d", None)]);
            assert_eq!(
                before.get(TREE, b"a").unwrap().unwrap(),
                b"1",
                "a snapshot stays what it was"
            );
            let next = store.commit(batch(&[("a", Some("3")), ("d", Some("3"))])).unwrap_err();
            assert_eq!(next.kind(), StateErrorKind::Failed);
            assert!(next.to_string().contains("has to be opened again"), "{at}: {next}");
            assert_eq!(
                store.get(TREE, b"d").unwrap(),
                None,
                "nothing of a refused step is there"
            );
        }
        agree(&store, &keys);
        drop((before, store));
        let store = OpenStore::open(folder.path(), 8 << 20).unwrap();
        agree(&store, &keys);
        store.commit(batch(&[("d", Some("4"))])).unwrap();
        agree(&store, &keys);
    }
}
