"""Finds the CDNOW history that the package `lifetimes` ships and adds it up, apart from everything that Kith does.

Run as: cdnow_totals.py. Prints JSON: the file's path, its rows, and for each customer the number of orders, the discs and
the cents spent.
"""

import importlib.util
import json
import os
from decimal import Decimal


def main():
    # The package itself needs more than is installed; only its folder is looked for.
    folder = importlib.util.find_spec("lifetimes").submodule_search_locations[0]
    path = os.path.join(folder, "datasets", "CDNOW_master.txt")
    customers, rows = {}, 0
    with open(path, encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            if not line.strip():
                continue
            customer, _, discs, value = line.split()
            total = customers.setdefault(customer, [0, 0, 0])
            total[0] += 1
            total[1] += int(discs)
            total[2] += int(Decimal(value) * 100)
            rows += 1
    print(json.dumps({"path": path, "rows": rows, "customers": customers}))


main()
