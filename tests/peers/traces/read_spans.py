"""Reads bodies that were sent to a collector, by OpenTelemetry's own definitions. Prints their spans as JSON lines.

Usage: read_spans.py FILE…, each the body of one POST to /v1/traces.
"""

import json
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def value_of(value):
    return getattr(value, value.WhichOneof("value"))


def attributes_of(pairs):
    return {pair.key: value_of(pair.value) for pair in pairs}


for path in sys.argv[1:]:
    with open(path, "rb") as body:
        request = ExportTraceServiceRequest.FromString(body.read())
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                print(
                    json.dumps(
                        {
                            "service": attributes_of(resource.resource.attributes).get("service.name"),
                            "trace": span.trace_id.hex(),
                            "span": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "name": span.name,
                            "kind": span.kind,
                            "micros": (span.end_time_unix_nano - span.start_time_unix_nano) // 1000,
                            "attributes": attributes_of(span.attributes),
                        }
                    )
                )
