"""Every benchmark, or some, printed and kept in docs/benchmarks.md: python benchmarks/run.py [names of suites]"""

import importlib
import platform
import sys
import time
from datetime import date
from pathlib import Path

from table import markdown

SUITES = (
    *("warp", "fill", "depth", "pipeline", "figures", "theatre", "people", "diffusion", "options"),
    *("splat", "matrix", "spatial"),
)
TARGET = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def main(names: list[str]) -> None:
    """Run the named suites, or all, and write what they found over their parts of the page."""
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        sys.exit(f"no suite {unknown[0]!r}; suites: {', '.join(SUITES)}")
    parts = parts_of(TARGET.read_text()) if TARGET.is_file() else {}
    for name in names or SUITES:
        print(f"\n## {name}", flush=True)
        began = time.perf_counter()
        rows = importlib.import_module(name).main()
        took = f"{date.today()}, {time.perf_counter() - began:.0f} s"
        parts[name] = f"## {name}\n\n{markdown(rows)}\n\n{took}\n"
        head = f"# Benchmarks\n\nMeasured by `make bench` on 2 cores, {platform.machine()}, idle.\n\n"
        TARGET.write_text(head + "\n".join(parts[suite] for suite in SUITES if suite in parts))


def parts_of(page: str) -> dict[str, str]:
    """The page's parts by the names of their suites."""
    parts = [part.rstrip() + "\n" for part in page.split("\n## ")[1:]]
    return {part.split("\n", 1)[0]: f"## {part}" for part in parts}


if __name__ == "__main__":
    main(sys.argv[1:])
