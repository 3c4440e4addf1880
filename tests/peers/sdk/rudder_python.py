"""Sends a person's calls with RudderStack's SDK for Python, as it comes, and prints the message ids as JSON.

Run as: rudder_python.py HOST WRITE_KEY PREFIX gzip|plain. Nothing but the data plane's address is set.
"""

import json
import sys

from rudderstack import analytics


def main():
    host, write_key, prefix, encoding = sys.argv[1:5]
    failures = []
    analytics.write_key = write_key
    analytics.dataPlaneUrl = host
    analytics.gzip = encoding == "gzip"
    analytics.on_error = lambda error, batch: failures.append(f"{error}: {len(batch)} events")
    user = f"{prefix}-user"
    # The functions of the module give nothing back, so the ids are ours.
    ids = {call: f"{prefix}-{call}" for call in ("identify", "track", "page", "screen", "group", "alias")}
    traits = {"email": f"{prefix}@example.com", "name": "Zoë Ünal", "plan": 9007199254740993}
    analytics.identify(user, traits, message_id=ids["identify"])
    order = {"total": 19.9, "currency": "EUR", "note": "grüße 🎁"}
    analytics.track(user, "Order Completed", order, message_id=ids["track"])
    analytics.page(user, "Shop", "Lamps", {"url": "https://shop.example.com/lamps"}, message_id=ids["page"])
    analytics.screen(user, "App", "Start", message_id=ids["screen"])
    analytics.group(user, f"{prefix}-account", {"seats": 3}, message_id=ids["group"])
    analytics.alias(f"{prefix}-before", user, message_id=ids["alias"])
    analytics.shutdown()
    print(json.dumps({"failures": failures, "messages": list(ids.values())}))


main()
