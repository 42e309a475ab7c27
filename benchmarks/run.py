"""Measures the budgets of the design, and shows them beside bare work that was measured in the same run.

usage: run.py [--quick | --full] [--json FILE] [--only NAME]... [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import bare
import budgets
import processes
from figures import Figure, show

ALL = {
    **budgets.ALL,
    "commands": processes.commands,
    "round_trip": processes.round_trip,
    "start": processes.start,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the budgets of the design beside bare work.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="seconds: whether it runs, not how fast")
    size.add_argument("--full", action="store_true", help="a million Sequences too; takes minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the figures there")
    parser.add_argument("--only", action="append", choices=list(ALL), metavar="NAME", help=", ".join(ALL))
    parser.add_argument("--folder", type=Path, help="where the files lie that are written to; the disk matters")
    args = parser.parse_args()
    sizes = budgets.QUICK if args.quick else budgets.FULL if args.full else budgets.NORMAL

    with tempfile.TemporaryDirectory(prefix="cogwork-bench-", dir=args.folder) as name:
        folder = Path(name)
        machine = bare.machine(folder)
        figures: list[Figure] = []
        for key in args.only or ALL:
            print(f"{key} ...", file=sys.stderr, flush=True)
            figures += ALL[key](folder, sizes)
    machine["load after"] = bare.load()
    show(figures, machine)
    if args.quick:
        print("sizes are those of a smoke test: the figures mean nothing")
    if args.json:
        document = {"quick": args.quick, "machine": machine, "figures": [figure.as_dict() for figure in figures]}
        args.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
