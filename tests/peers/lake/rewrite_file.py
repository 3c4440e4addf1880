"""Writes one Parquet file of a table anew, with a row left out (`shorter`) or another word in every row (`changed`)."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq

path, how = sys.argv[1:]
table = pq.read_table(path, partitioning=None)
if how == "shorter":
    table = table.slice(1)
else:
    at = table.schema.get_field_index("locale")
    words = pa.array(["xx"] * table.num_rows, table.schema.field(at).type)
    table = table.set_column(at, table.schema.field(at), words)
pq.write_table(table, path)
print("{}")
