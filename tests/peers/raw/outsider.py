"""Does to the objects of a bucket what an outsider with full rights would, and prints what came of it as JSON.

Usage: ENDPOINT BUCKET PREFIX overwrite|delete|delete_versions|read
"""
import json
import sys

import boto3
import pyarrow
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, bucket, prefix, what = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))


def versions():
    found = []
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        found += [(entry["Key"], entry["VersionId"]) for kind in ("Versions", "DeleteMarkers") for entry in page.get(kind, [])]
    return sorted(set(found))


keys = sorted({key for key, _ in versions()})
seen = {"objects": len(keys)}
if what == "overwrite":
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"something else")
elif what == "delete":
    for key in keys:
        client.delete_object(Bucket=bucket, Key=key)
elif what == "delete_versions":
    seen["refused"] = 0
    for key, version in versions():
        try:
            client.delete_object(Bucket=bucket, Key=key, VersionId=version)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied", error
            seen["refused"] += 1
elif what == "read":
    # Raw objects are JSON Lines, compressed with Zstandard: any tool reads them.
    seen["keys"], seen["message_ids"] = keys, []
    for key in keys:
        if not key.endswith(".jsonl.zst"):
            continue
        packed = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        with pyarrow.input_stream(pyarrow.py_buffer(packed), compression="zstd") as stream:
            lines = stream.read().decode().splitlines()
        for line in map(json.loads, lines):
            if isinstance(line.get("body"), str) and line.get("route") == "batch":
                seen["message_ids"] += [event["messageId"] for event in json.loads(line["body"])["batch"]]
print(json.dumps(seen))
