//! The conformance suite that every store passes, and what only the store on disk promises.

use super::*;

fn put(store: &dyn Store, keyspace: Keyspace, pairs: &[(&str, &str)]) {
    let mut batch = Batch::default();
    for (key, value) in pairs {
        batch.put(keyspace, key.as_bytes().to_vec(), value.as_bytes().to_vec());
    }
    store.commit(batch).unwrap();
}

fn keys(reader: &dyn Read, keyspace: Keyspace, from: &str, to: &str) -> Vec<String> {
    let mut found = Vec::new();
    reader
        .scan(keyspace, from.as_bytes(), to.as_bytes(), &mut |key, _| {
            found.push(String::from_utf8(key.to_vec()).unwrap());
            true
        })
        .unwrap();
    found
}

fn conforms(store: &dyn Store) {
    put(store, Keyspace::Parts, &[("a", "1"), ("b", "2"), ("c", "3")]);
    put(store, Keyspace::Meta, &[("b", "other tree")]);
    assert_eq!(store.get(Keyspace::Parts, b"b").unwrap().unwrap(), b"2");
    assert_eq!(store.get(Keyspace::Parts, b"d").unwrap(), None);
    assert_eq!(keys(store, Keyspace::Parts, "a", "c"), ["a", "b"]);
    assert_eq!(keys(store, Keyspace::Parts, "c", "a"), Vec::<String>::new());

    let mut last = Vec::new();
    store
        .scan_back(Keyspace::Parts, b"a", b"z", &mut |key, _| {
            last.push(key.to_vec());
            last.len() < 2
        })
        .unwrap();
    assert_eq!(
        last,
        [b"c".to_vec(), b"b".to_vec()],
        "a scan ends when its visitor says so"
    );

    let before = store.snapshot();
    let mut batch = Batch::default();
    batch.remove(Keyspace::Parts, b"a".to_vec());
    batch.put(Keyspace::Parts, b"b".to_vec(), b"first".to_vec());
    batch.put(Keyspace::Parts, b"b".to_vec(), b"second".to_vec());
    store.commit(batch).unwrap();
    assert_eq!(store.get(Keyspace::Parts, b"a").unwrap(), None);
    assert_eq!(
        store.get(Keyspace::Parts, b"b").unwrap().unwrap(),
        b"second",
        "the later write wins"
    );
    assert_eq!(
        before.get(Keyspace::Parts, b"b").unwrap().unwrap(),
        b"2",
        "a snapshot sees no later transaction"
    );
    assert_eq!(keys(&*before, Keyspace::Parts, "a", "z"), ["a", "b", "c"]);
}

#[test]
fn the_store_in_memory_conforms() {
    conforms(&MemoryStore::default());
}

#[test]
fn the_store_on_disk_conforms_and_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = FjallStore::open(folder.path(), 8 << 20).unwrap();
    conforms(&store);
    drop(store);
    let store = FjallStore::open(folder.path(), 8 << 20).unwrap();
    assert_eq!(store.get(Keyspace::Parts, b"b").unwrap().unwrap(), b"second");
}

#[test]
fn a_second_opener_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = FjallStore::open(folder.path(), 8 << 20).unwrap();
    let Err(error) = FjallStore::open(folder.path(), 8 << 20) else {
        panic!("opened twice")
    };
    assert_eq!(error.kind(), StateErrorKind::Locked);
}

#[test]
fn another_format_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    drop(FjallStore::open(folder.path(), 8 << 20).unwrap());
    for text in ["kith-state 4\n", "kith-state 8\n", "garbage", ""] {
        std::fs::write(folder.path().join("FORMAT"), text).unwrap();
        let Err(error) = FjallStore::open(folder.path(), 8 << 20) else {
            panic!("opened {text:?}")
        };
        assert_eq!(error.kind(), StateErrorKind::Format);
        assert!(error.to_string().contains("rebuilt from the log"), "{error}");
    }
}

#[test]
fn a_folder_of_a_format_before_goes_on_and_is_marked_so_that_the_release_before_refuses_it() {
    for before in ["kith-state 5\n", "kith-state 6\n"] {
        let folder = tempfile::tempdir().unwrap();
        let store = FjallStore::open(folder.path(), 8 << 20).unwrap();
        put(&store, Keyspace::Meta, &[("a", "1")]);
        let mark = folder.path().join("FORMAT");
        std::fs::write(&mark, before).unwrap();
        // Somebody has it open: it stays as it is.
        let refused = FjallStore::open(folder.path(), 8 << 20).err().unwrap();
        assert_eq!(refused.kind(), StateErrorKind::Locked);
        assert_eq!(std::fs::read_to_string(&mark).unwrap(), before);
        drop(store);
        let store = FjallStore::open(folder.path(), 8 << 20).unwrap();
        assert_eq!(store.get(Keyspace::Meta, b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(std::fs::read_to_string(&mark).unwrap(), "kith-state 7\n");
    }
}

#[test]
fn prefixes_end_where_they_should() {
    assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
    assert_eq!(prefix_end(&[1, 255]), Some(vec![2]));
    assert_eq!(prefix_end(&[255, 255]), None);
}
