"""Reads clean.events and curated.profiles of a space with pyiceberg, DuckDB and Polars, and prints the rows that each sees as JSON.

Run as: read_events.py POINTERS SPACE. Columns of JSON stay the texts that they are. It changes nothing.
"""

import json
import sys
import warnings

import polars
from engines import duckdb_with_iceberg
from pyiceberg.catalog.sql import SqlCatalog

warnings.filterwarnings("ignore")

COLUMNS = {
    "clean.events": ["message_id", "user_id", "event", "properties", "traits"],
    "curated.profiles": ["identifiers", "traits", "computed"],
}


def main():
    pointers, space = sys.argv[1:3]
    catalog = SqlCatalog(space, uri=f"sqlite:///{pointers}")
    connection = duckdb_with_iceberg()
    answer = {"pyiceberg": {}, "duckdb": {}, "polars": {}}
    for name, columns in COLUMNS.items():
        table = catalog.load_table(name)
        arrow = table.scan(selected_fields=tuple(columns)).to_arrow()
        scan = f"iceberg_scan('{table.metadata_location}')"
        seen = {
            "pyiceberg": zip(*(arrow[column].to_pylist() for column in columns)),
            "duckdb": connection.execute(f"SELECT {', '.join(columns)} FROM {scan}").fetchall(),
            "polars": polars.scan_iceberg(table).select(columns).collect().rows(),
        }
        for engine, rows in seen.items():
            answer[engine][name] = sorted((dict(zip(columns, row)) for row in rows), key=lambda row: row[columns[0]])
    # DuckDB's own JSON reads an exact number out of the text.
    table = catalog.load_table("clean.events")
    answer["numbers"] = connection.execute(f"""
        SELECT message_id, CAST(properties ->> 'n' AS VARCHAR) FROM iceberg_scan('{table.metadata_location}')
        WHERE event = 'Bought' ORDER BY message_id""").fetchall()
    print(json.dumps(answer))


main()
