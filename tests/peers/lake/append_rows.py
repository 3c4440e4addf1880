"""Appends a copy of one row to a space's clean.events with pyiceberg and prints the new number of rows as JSON.

Run as: append_rows.py POINTERS FOLDER SPACE. It proves that outsiders can commit through our pointers.
"""

import json
import sys
import warnings

from pyiceberg.catalog.sql import SqlCatalog

warnings.filterwarnings("ignore")


def main():
    pointers, folder, space = sys.argv[1:4]
    catalog = SqlCatalog(space, uri=f"sqlite:///{pointers}", warehouse=f"file://{folder}")
    events = catalog.load_table("clean.events")
    events.append(events.scan(limit=1).to_arrow())
    print(json.dumps({"events": events.scan().to_arrow().num_rows}))


main()
