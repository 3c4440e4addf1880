"""Reads the raw zone of a data folder with DuckDB and with Python alone, and prints what each sees as JSON.

Run as: read_raw.py FOLDER SPACE. It knows only what docs/sql.md says of the format, and changes nothing.
"""

import base64
import glob
import hashlib
import json
import os
import sys

import duckdb
import zstandard


def by_python(folder, space):
    lines = []
    for path in sorted(glob.glob(os.path.join(folder, "raw", f"space={space}", "source=*", "date=*", "hour=*", "*.jsonl.zst"))):
        place = dict(part.split("=", 1) for part in path.split(os.sep) if "=" in part)
        with open(path, "rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as unpacked:
            text = unpacked.read().decode("utf-8")
        assert text.endswith("\n"), path
        for line in text[:-1].split("\n"):
            record = json.loads(line)
            body = record["body"]
            body = base64.b64decode(body) if record.get("body_encoding") == "base64" else body.encode("utf-8")
            lines.append({
                "address": record["address"],
                "source": record["source"],
                "received_at": record["received_at"],
                "placed": [record["space"], record["source"], record["received_at"][:10], record["received_at"][11:13]]
                == [place["space"], place["source"], place["date"], place["hour"]],
                "hash_is_right": hashlib.sha256(body).hexdigest() == record["sha256"],
                "body": base64.b64encode(body).decode("ascii"),
                "decision": record.get("decision"),
                "client_ip": record.get("client_ip"),
                "events": [base64.b64encode(body[slice(*event["range"])]).decode("ascii") for event in record["events"]],
                "keys": sorted({event["key_id"] for event in record["events"]}),
            })
    return lines


def by_duckdb(folder, space):
    objects = os.path.join(folder, "raw", f"space={space}", "source=*", "date=*", "hour=*", "*.jsonl.zst")
    columns = "{v: 'INTEGER', space: 'VARCHAR', source: 'VARCHAR', address: 'VARCHAR', received_at: 'TIMESTAMP', body: 'VARCHAR', " \
        "body_encoding: 'VARCHAR', sha256: 'VARCHAR', events: 'STRUCT(\"range\" BIGINT[], key_id VARCHAR)[]'}"
    rows = f"read_json('{objects}', format = 'newline_delimited', compression = 'zstd', columns = {columns}, " \
        "maximum_object_size = 67108864, hive_partitioning = true)"
    found = duckdb.connect().execute(f"""
        SELECT source, address, sha256 = sha256(CASE WHEN body_encoding = 'base64' THEN from_base64(body) ELSE encode(body) END),
            len(events), strftime(received_at, '%Y-%m-%d') = CAST(date AS VARCHAR)
        FROM {rows} ORDER BY address""")
    return [
        {"source": source, "address": address, "hash_is_right": right, "events": events, "placed": placed}
        for source, address, right, events, placed in found.fetchall()
    ]


def main():
    folder, space = sys.argv[1:3]
    print(json.dumps({"python": by_python(folder, space), "duckdb": by_duckdb(folder, space)}))


main()
