//! Contract CON-2 on files: formats agree, ids are the same each time, bad rows are told with their place.

mod told;

use super::batch::{self, Batch};
use super::files::{self, Format};
use super::mapping::Mapping;
use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use kith_clean::inspect;
use kith_types::{Limits, Route, Timestamp};
use parquet::arrow::ArrowWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

const ORDERS: &str = r#"
event: Order Completed
timestamp: {column: date, format: "%Y%m%d", zone: UTC}
identifiers: {user_id: {column: customer_id}, email: {column: mail}, loyalty: {column: card}}
properties: {total: {column: amount, as: number}, quantity: {column: cds, as: number}, note: {column: note}}
constants: {currency: USD, shop: 7}
"#;

/// The import's start: 2026-11-27.
const NOW: Timestamp = Timestamp::from_micros(1_795_737_600_000_000);

fn mapping(text: &str) -> Mapping {
    Mapping::parse(text).unwrap()
}

/// Everything that is read from a path: bodies, and faults as text.
fn read(path: &Path, mapping: &Mapping) -> (Vec<String>, Vec<String>) {
    let files = files::find(path, None).unwrap();
    let (batches, mut received) = mpsc::channel(1_000);
    batch::read(&files, mapping, (Limits::USUAL, NOW), &batches).unwrap();
    drop(batches);
    let (mut bodies, mut faults) = (Vec::new(), Vec::new());
    while let Ok(batch) = received.try_recv() {
        let batch: Batch = batch;
        if !batch.places.is_empty() {
            bodies.push(batch.to_body());
        }
        faults.extend(
            batch
                .faults
                .iter()
                .map(|fault| fault.to_string().replace(&*fault.place.file, "FILE")),
        );
    }
    (bodies, faults)
}

fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn events(bodies: &[String]) -> Vec<serde_json::Value> {
    let batch = |body: &String| {
        serde_json::from_str::<serde_json::Value>(body).unwrap()["batch"]
            .as_array()
            .unwrap()
            .clone()
    };
    bodies.iter().flat_map(batch).collect()
}

fn ids(bodies: &[String]) -> Vec<String> {
    events(bodies)
        .iter()
        .map(|event| event["messageId"].as_str().unwrap().to_owned())
        .collect()
}

fn write_parquet(path: &Path) {
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "customer_id",
            Arc::new(StringArray::from(vec!["00001", "00002", "00002"])),
        ),
        (
            "date",
            Arc::new(Int32Array::from(vec![19_970_101, 19_970_112, 19_970_112])),
        ),
        ("cds", Arc::new(Int32Array::from(vec![1, 5, 5]))),
        ("amount", Arc::new(Float64Array::from(vec![11.77, 77.5, 77.5]))),
        (
            "mail",
            Arc::new(StringArray::from(vec![Some("jo@example.com"), None, None])),
        ),
        (
            "card",
            Arc::new(StringArray::from(vec![None::<&str>, Some("c\"7"), Some("c\"7")])),
        ),
        (
            "note",
            Arc::new(StringArray::from(vec![None, Some("a, b"), Some("a, b")])),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn con_2_csv_json_lines_and_parquet_give_equal_bodies() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "customer_id,date,cds,amount,mail,card,note\n00001,19970101,1,11.77,jo@example.com,,\n\
        00002,19970112,5,77.5,,\"c\"\"7\",\"a, b\"\n00002,19970112,5,77.5,,\"c\"\"7\",\"a, b\"\n";
    let row =
        r#"{"date":19970112,"customer_id":"00002","card":"c\"7","cds":5,"amount":77.5,"note":"a, b","mail":null}"#;
    let jsonl = format!(
        "{{\"customer_id\":\"00001\",\"amount\":11.77,\"date\":\"19970101\",\"cds\":1,\"mail\":\"jo@example.com\"}}\n\n{row}\r\n{row}"
    );
    let parquet = folder.path().join("orders.parquet");
    write_parquet(&parquet);
    let mapping = mapping(ORDERS);
    let (from_csv, faults) = read(&write(&folder, "orders.csv", csv), &mapping);
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(
        read(&write(&folder, "orders.jsonl", &jsonl), &mapping),
        (from_csv.clone(), Vec::new())
    );
    assert_eq!(read(&parquet, &mapping), (from_csv.clone(), Vec::new()));
    let tabs = csv
        .replace("\"a, b\"", "a; b")
        .replace(',', "\t")
        .replace("a; b", "\"a, b\"");
    assert_eq!(
        read(&write(&folder, "orders.tsv", &tabs), &mapping),
        (from_csv.clone(), Vec::new())
    );
    let [first, second, _] = events(&from_csv).try_into().unwrap();
    assert_eq!(first["type"], "track");
    assert_eq!(first["event"], "Order Completed");
    assert_eq!(first["timestamp"], "1997-01-01T00:00:00.000Z");
    assert_eq!(first["userId"], "00001");
    assert_eq!(first["context"]["externalIds"][0]["type"], "email");
    assert_eq!(second["context"]["externalIds"][0]["id"], "c\"7");
    assert_eq!(
        second["properties"].to_string(),
        r#"{"total":77.5,"quantity":5,"note":"a, b","currency":"USD","shop":7}"#
    );
    for body in &from_csv {
        let inspected = inspect(Route::Batch, body.as_bytes(), &Limits::default()).unwrap();
        assert_eq!((inspected.events, inspected.rejected.len()), (3, 0));
    }
}

#[test]
fn con_2_equal_rows_are_told_apart_and_ids_are_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = mapping("event: A\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}}\n");
    let path = write(
        &folder,
        "a.csv",
        "t,u\n2026-01-01,x\n2026-01-01,x\n2026-01-01,y\n2026-01-01,x\n",
    );
    let first = ids(&read(&path, &mapping).0);
    let (hash, ordinal) = first[0].split_once('-').unwrap();
    assert_eq!((hash.len(), ordinal), (64, "0"));
    assert_eq!(first[1], format!("{hash}-1"));
    assert!(first[2].ends_with("-0") && !first[2].starts_with(hash));
    assert_eq!(first[3], format!("{hash}-2"));
    assert_eq!(ids(&read(&path, &mapping).0), first, "twice the same");
    // Another order of rows and columns gives the same ids.
    let path = write(
        &folder,
        "b.csv",
        "u,t\ny,2026-01-01\nx,2026-01-01\nx,2026-01-01\nx,2026-01-01\n",
    );
    let (mut again, mut before) = (ids(&read(&path, &mapping).0), first.clone());
    again.sort();
    before.sort();
    assert_eq!(again, before);
    // What is made of the rows is part of the ids: orders and customers of one file do not hide each other.
    let other = self::mapping("type: identify\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}}\n");
    assert!(ids(&read(&path, &other).0).iter().all(|id| !first.contains(id)));
}

#[test]
fn con_2_golden_the_id_of_a_row_never_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "a.csv", "t,u\n2026-01-01,x\n");
    let mapping = mapping("event: A\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}}\n");
    assert_eq!(ids(&read(&path, &mapping).0), [GOLDEN_ID]);
}

const GOLDEN_ID: &str = "273ef8d01fcd48fcea717fef3eefe1e9ef95b064b2a3c34be6b4dc14cb0282eb-0";

#[test]
fn con_2_a_message_id_of_the_row_itself_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "event: {column: e}\ntimestamp: {column: t}\nidentifiers: {anonymous_id: fixed}\nmessage_id: {column: id}\n";
    let path = write(&folder, "a.csv", "id,t,e\nm1,2026-01-01,Seen\n,2026-01-01,Seen\n");
    let (bodies, faults) = read(&path, &mapping(text));
    assert_eq!(ids(&bodies), ["m1"]);
    assert_eq!(events(&bodies)[0]["anonymousId"], "fixed");
    assert_eq!(
        faults,
        ["FILE, line 3, column id: says nothing: a message id is wanted"]
    );
}

#[test]
fn con_2_bad_rows_are_told_with_their_place_and_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "customer_id,date,cds,amount,mail,card,note\n1,19970101,1,11.77,,,\n1,19971301,1,1,,,\n1,19970101,1\n\
        1,19970101,one,1,,,\n,19970101,1,1,,,\n1,,1,1,,,\n1,19970102,1,+07.50,,,\n";
    let (bodies, faults) = read(&write(&folder, "orders.csv", csv), &mapping(ORDERS));
    let days: Vec<_> = events(&bodies)
        .iter()
        .map(|event| event["properties"]["total"].to_string())
        .collect();
    assert_eq!(days, ["11.77", "7.5"]);
    let starts = [
        "FILE, line 3, column date: \"19971301\"",
        "FILE, line 4: has 3 columns",
        "FILE, line 5, column cds: \"one\"",
        "FILE, line 6: names nobody",
        "FILE, line 7, column date: says nothing",
    ];
    assert_eq!(faults.len(), starts.len(), "{faults:?}");
    for (fault, start) in faults.iter().zip(starts) {
        assert!(fault.starts_with(start), "{fault}");
    }
    let jsonl = "{\"customer_id\":1,\"date\":19970101}\n[1]\n{\"customer_id\":1,\n{\"date\":19970101}\n";
    let (bodies, faults) = read(&write(&folder, "orders.jsonl", jsonl), &mapping(ORDERS));
    assert_eq!(events(&bodies).len(), 1);
    assert!(
        faults[0].starts_with("FILE, line 2: is not one JSON object"),
        "{faults:?}"
    );
    assert!(
        faults[1].starts_with("FILE, line 3: is not one JSON object")
            && faults[2].starts_with("FILE, line 4: names nobody")
    );
}

#[test]
fn con_2_numbers_and_nested_values_stay_exact() {
    let folder = tempfile::tempdir().unwrap();
    let text = "type: identify\ntimestamp: {column: at, format: unix_millis}\nidentifiers: {user_id: {column: who.id}}\n\
        traits: {balance: {column: who.balance}, raw: {column: raw, as: json}, vip: {column: vip, as: boolean}, zip: {column: zip, as: text}}\n";
    let row = r#"{"at":1700000000000,"who":{"id":"u1","balance":9007199254740993.0000001},"raw":"[1.10, {\"a\":null}]","vip":"yes","zip":1234}"#;
    let (bodies, faults) = read(&write(&folder, "a.ndjson", row), &mapping(text));
    assert_eq!(faults, Vec::<String>::new());
    let wanted = r#""traits":{"balance":9007199254740993.0000001,"raw":[1.10, {"a":null}],"vip":true,"zip":"1234"}"#;
    assert!(bodies[0].contains(wanted), "{}", bodies[0]);
}

#[test]
fn con_2_batches_stay_below_the_limits_of_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let mapping = mapping(
        "event: A\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}}\nproperties: {p: {column: p}}\n",
    );
    for (rows, width) in [(6_000, 1), (40, 20_000)] {
        let lines: String = (0..rows)
            .map(|row| format!("2026-01-01,{row},{}\n", "x".repeat(width)))
            .collect();
        let (bodies, faults) = read(&write(&folder, "a.csv", &format!("t,u,p\n{lines}")), &mapping);
        assert!(faults.is_empty() && bodies.len() > 1);
        assert!(bodies.iter().all(|body| body.len() <= limits.batch_bytes));
        let counted = bodies
            .iter()
            .map(|body| inspect(Route::Batch, body.as_bytes(), &limits).unwrap());
        assert_eq!(
            counted.map(|found| found.events - found.rejected.len()).sum::<usize>(),
            rows
        );
    }
    let wide = format!(
        "t,u,p\n2026-01-01,1,{}\n2026-01-01,2,y\n",
        "x".repeat(limits.event_bytes)
    );
    let (bodies, faults) = read(&write(&folder, "b.csv", &wide), &mapping);
    assert_eq!((events(&bodies).len(), faults.len()), (1, 1));
    assert!(faults[0].starts_with("FILE, line 2: becomes an event of"), "{faults:?}");
}

#[test]
fn con_2_a_quote_that_is_never_closed_does_not_fill_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("t,u\n2026-01-01,\"{}\n", "x\n".repeat(6 << 20));
    let files = files::find(&write(&folder, "a.csv", &text), None).unwrap();
    let (batches, _received) = mpsc::channel(10);
    let mapping = mapping("event: A\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}}\n");
    let error = batch::read(&files, &mapping, (Limits::USUAL, NOW), &batches).unwrap_err();
    assert!(kith_telemetry::error_chain(&error).contains("quote"), "{error:?}");
}

#[test]
fn con_2_files_without_a_header_and_parted_by_blanks_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let text = "event: A\ntimestamp: {column: c2, format: \"%Y%m%d\"}\nidentifiers: {user_id: {column: c1}}\nseparator: whitespace\n\
        header: false\n";
    let path = write(
        &folder,
        "cdnow.txt",
        " 00001 19970101  1   11.77\r\n\r\n 00002\t19970112  1   12.00\r\n 00003 1\r\n",
    );
    let (bodies, faults) = read(&path, &mapping(text));
    assert_eq!(
        events(&bodies)
            .iter()
            .map(|event| event["userId"].to_string())
            .collect::<String>(),
        "\"00001\"\"00002\""
    );
    assert_eq!(
        faults,
        ["FILE, line 4: has 2 columns where the file has 4: is a separator or a quote missing?"]
    );
    let comma =
        "event: A\ntimestamp: {column: c2}\nidentifiers: {user_id: {column: c1}}\nheader: false\nseparator: \";\"\n";
    let (bodies, _) = read(
        &write(&folder, "a.csv", "u1;2026-01-01\nu2;2026-01-02\n"),
        &mapping(comma),
    );
    assert_eq!(events(&bodies).len(), 2);
}

#[test]
fn con_2_a_folder_is_read_in_the_order_of_its_paths_and_packed_files_too() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    write(&folder, "b.csv", "t,u\n2026-01-01,b\n");
    write(&folder, "_SUCCESS.csv", "no\n");
    write(&folder, "read.me", "no\n");
    let mut packed = flate2::write::GzEncoder::new(
        std::fs::File::create(folder.path().join("sub/c.jsonl.gz")).unwrap(),
        flate2::Compression::fast(),
    );
    packed.write_all(b"{\"t\":\"2026-01-01\",\"u\":\"c\"}\n").unwrap();
    packed.finish().unwrap();
    write(&folder, "a.csv", "t,u\n2026-01-01,a\n");
    let mapping = mapping("event: A\ntimestamp: {column: t}\nidentifiers: {user_id: {column: u}}\n");
    let (bodies, _) = read(folder.path(), &mapping);
    let users: String = events(&bodies)
        .iter()
        .map(|event| event["userId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(users, "abc");
    assert!(files::find(&folder.path().join("read.me"), None).is_err());
}

#[test]
fn con_2_what_holds_nothing_to_import_is_told_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let told = |path: &Path, format| files::find(path, format).unwrap_err().to_string();
    let empty = format!("{} holds no file to import", folder.path().display());
    assert_eq!(told(folder.path(), None), empty);
    assert_eq!(told(folder.path(), Some(Format::Csv)), empty);
    let file = write(&folder, "orders", "a,b\n");
    assert_eq!(told(&file, None), format!("{} tells no format", file.display()));
    assert_eq!(told(folder.path(), None), empty);
}

#[test]
fn con_2_columns_that_are_not_there_are_told_before_a_row_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let files = files::find(&write(&folder, "a.csv", "date,amount\n19970101,1\n"), None).unwrap();
    let (batches, _received) = mpsc::channel(10);
    let error = batch::read(&files, &mapping(ORDERS), (Limits::USUAL, NOW), &batches).unwrap_err();
    let told = kith_telemetry::error_chain(&error);
    assert!(
        told.contains("card, cds, customer_id, mail, note") && told.contains("its columns are date, amount"),
        "{told}"
    );
}

#[test]
fn con_2_a_mapping_is_checked_before_anything_is_read() {
    let cases = [
        ("[]", "named parts"),
        ("event: A\nidentifiers: {user_id: x}\n", "timestamp: say when"),
        (
            "event: A\ntimestamp: {column: t, format: soon}\nidentifiers: {user_id: x}\n",
            "timestamp: format",
        ),
        ("event: A\ntimestamp: {column: t}\n", "identifiers: name at least one"),
        (
            "timestamp: {column: t}\nidentifiers: {user_id: x}\n",
            "event: name the event",
        ),
        (
            "type: page\ntimestamp: {column: t}\nidentifiers: {user_id: x}\n",
            "type: is track or identify",
        ),
        (
            "event: A\ntimestamp: {column: t}\nidentifiers: {user_id: x}\nproperty: {}\n",
            "\"property\" is no part",
        ),
        (
            "event: A\ntimestamp: {column: t}\nidentifiers: {user_id: 1}\n",
            "identifiers.user_id: is a text",
        ),
        (
            "event: A\ntimestamp: {column: t}\nidentifiers: {\"\": x}\n",
            "identifiers: \"\" is no type name",
        ),
        (
            "event: A\ntimestamp: {column: t}\nidentifiers: {user id: x}\n",
            "identifiers: \"user id\" is no type name",
        ),
        (
            "event: A\ntimestamp: {column: t}\nidentifiers: {\"card:no\": x}\n",
            "identifiers: \"card:no\" is no type name",
        ),
        (
            "event: A\ntimestamp: {column: t}\nidentifiers: {user_id: x}\nproperties: {p: {column: p, as: float}}\n",
            "properties.p.as: is text",
        ),
        (
            "event: A\ntimestamp: {column: t}\nidentifiers: {user_id: x}\nseparator: comma\n",
            "separator: is one character",
        ),
        (
            "type: identify\ntimestamp: {column: t}\nidentifiers: {user_id: x}\nproperties: {p: {column: p}}\n",
            "properties: an identify",
        ),
    ];
    for (text, expected) in cases {
        let problems = Mapping::parse(text).unwrap_err();
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{text} gave {problems:?}"
        );
    }
}
