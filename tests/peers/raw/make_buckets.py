"""Makes a plain bucket and one with object lock on an S3 server, as an operator would. Usage: ENDPOINT PLAIN LOCKED"""
import sys

import boto3
from botocore.config import Config

endpoint, plain, locked = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))
client.create_bucket(Bucket=plain)
client.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
