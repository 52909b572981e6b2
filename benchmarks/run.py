"""Every benchmark, printed, and kept in docs/benchmarks.md: python benchmarks/run.py [names of suites]"""

import importlib
import platform
import sys
import time
from datetime import date
from pathlib import Path

from table import markdown

SUITES = ("warp", "fill", "depth", "pipeline", "figures", "theatre", "diffusion", "options")
TARGET = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main(names: list[str]) -> None:
    """Run the named suites; with all of them, write the page."""
    parts = []
    for name in names or SUITES:
        print(f"\n## {name}", flush=True)
        began = time.perf_counter()
        rows = importlib.import_module(name).main()
        parts.append(f"## {name}\n\n{markdown(rows)}\n\n{time.perf_counter() - began:.0f} s\n")
    if not names:
        head = f"# Benchmarks\n\nMeasured {date.today()} by `make bench` on 2 cores, {platform.machine()}, idle.\n\n"
        TARGET.write_text(head + "\n".join(parts))
        print(f"\nwritten to {TARGET.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
