"""Engines that read tables from outside, as the scripts beside this one use them."""

import glob
import importlib.util
import os

import duckdb


def duckdb_with_iceberg():
    """A connection with the extensions that pip installed: nothing is downloaded."""
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    for package in ("duckdb_extension_avro", "duckdb_extension_iceberg"):
        folder = os.path.dirname(importlib.util.find_spec(package).origin)
        (extension,) = glob.glob(os.path.join(folder, "**", "*.duckdb_extension"), recursive=True)
        connection.execute(f"LOAD '{extension}'")
    return connection
