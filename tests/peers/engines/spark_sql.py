"""Asks Spark about a space's tables and prints the answers as one JSON object.

Run as: spark_sql.py POINTERS SPACE JARS, with the questions on standard input: {"name": "statement"}. A statement that
is the place of a metadata file reads that table without a catalog. An answer has `rows` and, for a statement that reads
one table, how many of its data files were read and how many left out (`files`). It changes nothing: the pointers are
opened to be read alone.
"""

import datetime
import glob
import json
import os
import sys

from pyspark.sql import SparkSession


def spark(pointers, space, jars):
    settings = {
        "spark.driver.memory": "1g",
        # It runs for seconds only.
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        # So that the plan that ran tells what it read.
        "spark.sql.adaptive.enabled": "false",
        "spark.jars": ",".join(sorted(glob.glob(os.path.join(jars, "*.jar")))),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        f"spark.sql.catalog.{space}": "org.apache.iceberg.spark.SparkCatalog",
        f"spark.sql.catalog.{space}.type": "jdbc",
        f"spark.sql.catalog.{space}.uri": f"jdbc:sqlite:file:{pointers}?mode=ro",
        f"spark.sql.catalog.{space}.jdbc.schema-version": "V1",
        f"spark.sql.catalog.{space}.warehouse": os.path.join(os.path.dirname(pointers), "lake"),
        "spark.sql.defaultCatalog": space,
    }
    builder = SparkSession.builder.master("local[1]").appName("kith")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def files(frame):
    """Of the one scan of a table in what has run, if it is one."""
    leaves = frame._jdf.queryExecution().executedPlan().collectLeaves()
    if leaves.size() != 1:
        return None
    metrics = leaves.head().metrics()
    names = ("resultDataFiles", "skippedDataFiles")
    if not all(metrics.contains(name) for name in names):
        return None
    read, left_out = (metrics.apply(name).value() for name in names)
    return {"read": read, "left_out": left_out}


def plain(value):
    """What JSON has no word for. Times are in UTC: the process runs there."""
    return value.isoformat(sep=" ", timespec="microseconds") + "Z" if isinstance(value, datetime.datetime) else str(value)


def main():
    pointers, space, jars = sys.argv[1:4]
    session = spark(pointers, space, jars)
    answers = {"version": session.version}
    for name, statement in json.load(sys.stdin).items():
        if statement.endswith(".metadata.json"):
            frame = session.read.format("iceberg").load(statement)
        else:
            frame = session.sql(statement)
        rows = [row.asDict(recursive=True) for row in frame.collect()]
        answers[name] = {"rows": rows, "files": files(frame)}
    print(json.dumps(answers, default=plain))
    session.stop()


main()
