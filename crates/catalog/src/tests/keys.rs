//! Spaces, sources and keys against their contracts.

use super::{at, catalog, clock, decision, document, source, space};
use crate::{ApiKeyScope, Catalog, CatalogErrorKind, DocumentKind, WriteKeyOutcome};
use kith_types::Timestamp;
use serde_json::json;

#[test]
fn spc_1_main_exists_and_spaces_are_apart() {
    let catalog = catalog();
    assert_eq!(
        catalog
            .spaces()
            .unwrap()
            .iter()
            .map(|space| space.name.as_str().to_owned())
            .collect::<Vec<_>>(),
        ["main"]
    );
    catalog.create_space(&space("staging")).unwrap();
    assert_eq!(
        catalog.create_space(&space("staging")).unwrap_err().kind(),
        CatalogErrorKind::Conflict
    );
    let first = catalog.create_source(&space("main"), &source("web")).unwrap();
    let second = catalog.create_source(&space("staging"), &source("web")).unwrap();
    assert_ne!(first.write_key, second.write_key);
    for (made, name) in [(&first, "main"), (&second, "staging")] {
        let expected = WriteKeyOutcome::Source {
            space: space(name),
            source: source("web"),
        };
        assert_eq!(catalog.resolve_write_key(&made.write_key), expected);
    }
    let segment = document(DocumentKind::Segment, "vip", json!({}));
    catalog
        .record_definitions(
            &space("staging"),
            &decision(vec![segment], vec![]),
            at(1),
            Timestamp::from_millis(1),
        )
        .unwrap();
    assert_eq!(catalog.definitions(&space("main")).unwrap(), []);
    assert_eq!(catalog.definitions(&space("staging")).unwrap().len(), 1);
    assert_eq!(
        catalog
            .create_source(&space("nowhere"), &source("web"))
            .unwrap_err()
            .kind(),
        CatalogErrorKind::NotFound
    );
}

#[test]
fn col_2_a_write_key_names_its_source_until_it_is_switched_off_or_turned() {
    let catalog = catalog();
    let (main, web) = (space("main"), source("web"));
    let key = catalog.create_source(&main, &web).unwrap().write_key;
    assert!(key.starts_with("kith_wk_") && key.len() == 51, "{key}");
    let open = WriteKeyOutcome::Source {
        space: main.clone(),
        source: web.clone(),
    };
    assert_eq!(catalog.resolve_write_key(&key), open);
    for unknown in ["", "kith_wk_", &key[..50], &format!("{key}A"), &"k".repeat(100_000)] {
        assert_eq!(catalog.resolve_write_key(unknown), WriteKeyOutcome::Unknown);
    }
    catalog.set_source_enabled(&main, &web, false).unwrap();
    assert_eq!(catalog.resolve_write_key(&key), WriteKeyOutcome::Disabled);
    catalog.set_source_enabled(&main, &web, true).unwrap();
    let turned = catalog.rotate_write_key(&main, &web).unwrap().write_key;
    assert_eq!(catalog.resolve_write_key(&key), WriteKeyOutcome::Unknown);
    assert_eq!(catalog.resolve_write_key(&turned), open);
    assert_eq!(
        catalog.create_source(&main, &web).unwrap_err().kind(),
        CatalogErrorKind::Conflict
    );
    assert_eq!(
        catalog.rotate_write_key(&main, &source("none")).unwrap_err().kind(),
        CatalogErrorKind::NotFound
    );
}

#[test]
fn api_1_keys_are_kept_as_hashes_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let (write, admin, read) = {
        let catalog = Catalog::open(&path, clock()).unwrap();
        let admin = catalog.ensure_admin_key(None).unwrap().unwrap();
        let read = catalog
            .create_api_key("reports", &ApiKeyScope::Read(space("main")))
            .unwrap()
            .secret;
        (
            catalog.create_source(&space("main"), &source("web")).unwrap().write_key,
            admin,
            read,
        )
    };
    let catalog = Catalog::open(&path, clock()).unwrap();
    assert_eq!(catalog.ensure_admin_key(None).unwrap(), None, "a key is made once");
    assert_eq!(catalog.resolve_api_key(&admin).unwrap().scope, ApiKeyScope::Admin);
    assert_eq!(
        catalog.resolve_api_key(&read).unwrap().scope,
        ApiKeyScope::Read(space("main"))
    );
    assert!(matches!(
        catalog.resolve_write_key(&write),
        WriteKeyOutcome::Source { .. }
    ));
    drop(catalog);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for key in [&write, &admin, &read] {
            assert!(
                key.as_bytes()[8..]
                    .chunks(8)
                    .all(|part| !bytes.windows(part.len().max(8)).any(|window| window == part)),
                "a part of a key stands in the file"
            );
        }
    }
}

#[test]
fn api_1_write_keys_cannot_read_and_api_keys_cannot_collect() {
    let catalog = catalog();
    let write = catalog.create_source(&space("main"), &source("web")).unwrap().write_key;
    let admin = catalog.ensure_admin_key(None).unwrap().unwrap();
    assert_eq!(catalog.resolve_api_key(&write), None);
    assert_eq!(catalog.resolve_write_key(&admin), WriteKeyOutcome::Unknown);
}

#[test]
fn api_1_there_is_no_default_secret_and_no_weak_one() {
    let catalog = catalog();
    for weak in [
        "",
        "admin",
        "fifteen-letters",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "kith_wk_0123456789abcdef",
        "has a blank in it, sadly",
        "colon:0123456789abcdef",
    ] {
        assert_eq!(
            catalog.ensure_admin_key(Some(weak)).unwrap_err().kind(),
            CatalogErrorKind::Invalid,
            "{weak:?}"
        );
    }
    assert!(catalog.api_keys().unwrap().is_empty(), "nothing opens the server yet");
    assert_eq!(catalog.ensure_admin_key(Some("first-0123456789")).unwrap(), None);
    assert_eq!(catalog.ensure_admin_key(Some("second-0123456789")).unwrap(), None);
    assert_eq!(
        catalog.resolve_api_key("first-0123456789"),
        None,
        "the key given later takes its place"
    );
    assert!(catalog.resolve_api_key("second-0123456789").is_some());
    let made = catalog
        .ensure_admin_key(None)
        .unwrap()
        .expect("the environment no longer gives one");
    assert!(catalog.resolve_api_key("second-0123456789").is_none() && catalog.resolve_api_key(&made).is_some());
    assert_eq!(
        catalog.revoke_api_key("admin").unwrap_err().kind(),
        CatalogErrorKind::Conflict,
        "the last key stays"
    );
    catalog.create_api_key("second", &ApiKeyScope::Admin).unwrap();
    catalog.revoke_api_key("admin").unwrap();
    assert!(catalog.resolve_api_key(&made).is_none());
}

#[test]
fn spc_1_a_space_whose_code_another_one_has_is_refused() {
    let mut seen = std::collections::BTreeMap::new();
    let (one, other) = (0..100_000)
        .find_map(|number| {
            let name = space(&format!("brand_{number}"));
            seen.insert(name.code(), name.clone()).map(|before| (before, name))
        })
        .unwrap();
    let catalog = catalog();
    catalog.create_space(&one).unwrap();
    let refused = catalog.create_space(&other).unwrap_err();
    assert_eq!(refused.kind(), CatalogErrorKind::Conflict);
    assert!(refused.to_string().contains("choose another name"), "{refused}");
    catalog.create_space(&space("another")).unwrap();
}
