"""One full run of every serving benchmark, as docs/serve-benchmark.json holds it: some twelve minutes.

Each part runs in a process of its own; a part that is named runs alone and takes the place of what the file has of it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.serve_report import NUMBERS

PARTS: dict[str, list[str]] = {
    "in_process": ["in_process", "--seconds", "1.5"],
    "serve": ["serve", "--rows", "1000000", "10000000", "--workers", "1", "2", "--seconds", "2"],
    "overload": ["overload", "--seconds", "4"],
    "images": ["images"],
    "concurrency": ["concurrency", "--rows", "1000000", "10000000", "--seconds", "2"],
    "start": ["start"],
    "soak": ["soak", "--minutes", "10"],
}


def processor_times() -> list[int]:
    """Of all cores together, by kind; the eighth is what the host took for others."""
    return [int(value) for value in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Every serving benchmark in one run.")
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--out", type=Path, default=NUMBERS)
    options = parser.parse_args()
    result: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for part in options.parts:
        print(part, file=sys.stderr)
        before = processor_times()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", *PARTS[part], "--json"], stdout=subprocess.PIPE, check=False
        )
        spent = [after - then for after, then in zip(processor_times(), before, strict=True)]
        result[part] = {**json.loads(done.stdout), "stolen_share": round(spent[7] / sum(spent), 3)}
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
