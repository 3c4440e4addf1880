"""Reads a space's tables with pyiceberg, DuckDB and Polars and prints what each sees as one JSON object.

Run as: read_tables.py POINTERS FOLDER SPACE. The lake's own tests compare the counts. It changes nothing.
"""

import datetime
import json
import sys
import warnings

import polars
from engines import duckdb_with_iceberg
from pyiceberg.catalog.sql import SqlCatalog

warnings.filterwarnings("ignore")


def main():
    pointers, folder, space = sys.argv[1:4]
    catalog = SqlCatalog(space, uri=f"sqlite:///{pointers}", warehouse=f"file://{folder}")
    events = catalog.load_table("clean.events")
    profiles = catalog.load_table("curated.profiles")
    seen = {"tables": sorted([*table] for ns in catalog.list_namespaces() for table in catalog.list_tables(ns))}

    rows, people = events.scan().to_arrow(), profiles.scan().to_arrow()
    seen["pyiceberg"] = {
        "events": rows.num_rows,
        "sequence_sum": sum(rows["sequence"].to_pylist()),
        "profiles": people.num_rows,
        "profile_events": sum(people["event_count"].to_pylist()),
    }

    connection = duckdb_with_iceberg()
    scan = lambda table: f"iceberg_scan('{table.metadata_location}')"
    count, total = connection.execute(f"SELECT count(*), sum(sequence) FROM {scan(events)}").fetchone()
    persons, of_persons = connection.execute(f"SELECT count(*), sum(event_count) FROM {scan(profiles)}").fetchone()
    seen["duckdb"] = {
        "events": count,
        "sequence_sum": int(total),
        "profiles": persons,
        "profile_events": int(of_persons),
    }

    clean, curated = polars.scan_iceberg(events).collect(), polars.scan_iceberg(profiles).collect()
    seen["polars"] = {
        "events": clean.height,
        "sequence_sum": clean["sequence"].sum(),
        "profiles": curated.height,
        "profile_events": curated["event_count"].sum(),
    }

    first = min(rows["event_time"].to_pylist())
    start, end = first + datetime.timedelta(seconds=150), first + datetime.timedelta(seconds=210)
    minute = f"event_time >= '{start.isoformat()}' and event_time < '{end.isoformat()}'"
    seen["files_for_one_minute"] = len(list(events.scan(minute).plan_files()))
    person = people["profile_id"][0].as_py()
    seen["files_for_one_profile"] = len(list(profiles.scan(f"profile_id = '{person}'").plan_files()))
    seen["summary"] = dict(events.current_snapshot().summary.additional_properties)
    earliest = min(events.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number)
    seen["earlier_snapshot_rows"] = events.scan(snapshot_id=earliest.snapshot_id).to_arrow().num_rows
    print(json.dumps(seen))


main()
