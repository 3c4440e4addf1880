"""Sends a person's calls with Segment's SDK for Python, as it comes, and prints the message ids as JSON.

Run as: segment_python.py HOST WRITE_KEY PREFIX gzip|plain. Nothing but the host is set.
"""

import json
import sys

from segment.analytics import Client


def main():
    host, write_key, prefix, encoding = sys.argv[1:5]
    failures = []
    client = Client(
        write_key,
        host=host,
        gzip=encoding == "gzip",
        on_error=lambda error, batch: failures.append(f"{error}: {len(batch)} events"),
    )
    user = f"{prefix}-user"
    sent = [
        client.identify(user, {"email": f"{prefix}@example.com", "name": "Zoë Ünal", "plan": 9007199254740993}),
        client.track(user, "Order Completed", {"total": 19.9, "currency": "EUR", "note": "grüße 🎁"}),
        client.page(user, "Shop", "Lamps", {"url": "https://shop.example.com/lamps"}),
        client.screen(user, "App", "Start"),
        client.group(user, f"{prefix}-account", {"seats": 3}),
        client.alias(f"{prefix}-before", user),
    ]
    client.flush()
    client.shutdown()
    # Older and newer releases answer with (success, message) or with the message alone.
    messages = [entry[1] if isinstance(entry, tuple) else entry for entry in sent]
    print(json.dumps({"failures": failures, "messages": [message["messageId"] for message in messages]}))


main()
