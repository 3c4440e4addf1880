"""Reads every table of a space that a server wrote, with pyiceberg, DuckDB and Polars, and prints what each sees as JSON.

Run as: read_server.py POINTERS SPACE PLANTED. PLANTED is a text that stands in rows of classified columns: where it
stands in metadata too is in the answer's `leaks`. It changes nothing.
"""

import hashlib
import json
import os
import sys
import warnings

import polars
import pyarrow.parquet as parquet
from engines import duckdb_with_iceberg
from pyiceberg.catalog.sql import SqlCatalog

warnings.filterwarnings("ignore")


def checksum(rows):
    """Of rows of texts, whatever their order."""
    return hashlib.sha256("\n".join(sorted("|".join(row) for row in rows)).encode()).hexdigest()


KEYS = {
    "clean.events": ["event_key", "event", "properties"],
    "curated.profiles": ["profile_id", "traits"],
    "curated.identifiers": ["type", "value", "profile_id"],
    "curated.memberships": ["segment", "profile_id"],
    "curated.membership_changes": ["segment", "profile_id", "change"],
}


def by_every_engine(table, columns, connection):
    rows = table.scan(selected_fields=tuple(columns)).to_arrow()
    seen = {"pyiceberg": zip(*(rows[column].to_pylist() for column in columns))}
    scan = f"iceberg_scan('{table.metadata_location}')"
    seen["duckdb"] = connection.execute(f"SELECT {', '.join(columns)} FROM {scan}").fetchall()
    seen["polars"] = polars.scan_iceberg(table).select(columns).collect().rows()
    answer = {}
    for engine, found in seen.items():
        found = [[str(value) for value in row] for row in found]
        answer[engine] = {"rows": len(found), "checksum": checksum(found)}
    return answer


def metadata_texts(table):
    """What readers of metadata see: the table's metadata, manifest lists, manifests, and all of a Parquet file that is
    not rows. Each with its place, as bytes."""
    for path in [table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)]:
        path = path.removeprefix("file://")
        if os.path.exists(path):
            yield path, open(path, "rb").read()
    known = set()
    for snapshot in table.metadata.snapshots:
        yield snapshot.manifest_list, open(snapshot.manifest_list.removeprefix("file://"), "rb").read()
        for manifest in snapshot.manifests(table.io):
            # Later snapshots list the same manifests again.
            if manifest.manifest_path in known:
                continue
            known.add(manifest.manifest_path)
            yield manifest.manifest_path, repr(manifest).encode()
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                # Bounds are bytes: their own spelling, so that no escape hides anything.
                bounds = [*(entry.data_file.lower_bounds or {}).values(), *(entry.data_file.upper_bounds or {}).values()]
                yield manifest.manifest_path, repr(entry.data_file).encode() + b"\n".join(bounds)
                yield entry.data_file.file_path, not_rows(entry.data_file.file_path.removeprefix("file://"))


def not_rows(path):
    """Everything of a Parquet file behind its last row: indexes, filters and the footer."""
    found = parquet.ParquetFile(path).metadata
    end = 0
    for group in range(found.num_row_groups):
        for column in range(found.num_columns):
            chunk = found.row_group(group).column(column)
            offsets = [offset for offset in (chunk.dictionary_page_offset, chunk.data_page_offset) if offset]
            end = max(end, min(offsets) + chunk.total_compressed_size)
    return open(path, "rb").read()[end:]


def main():
    pointers, space, planted = sys.argv[1:4]
    catalog = SqlCatalog(space, uri=f"sqlite:///{pointers}")
    names = sorted(".".join(table) for namespace in catalog.list_namespaces() for table in catalog.list_tables(namespace))
    answer = {"tables": {}, "leaks": [], "looked_at": 0, "bounds_seen": False, "names": names}
    connection = duckdb_with_iceberg()
    for name in names:
        table = catalog.load_table(name)
        if name in KEYS:
            answer["tables"][name] = by_every_engine(table, KEYS[name], connection)
        for place, text in metadata_texts(table):
            answer["looked_at"] += 1
            answer["bounds_seen"] |= b"Order Completed" in text
            if planted.encode() in text or planted in place:
                answer["leaks"].append(f"{name}: {place}")
    print(json.dumps(answer))


main()
