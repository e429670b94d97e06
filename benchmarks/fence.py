"""What the fence around decoders costs, and what it refuses.

Each picture is looked at by three kinds of process in turn: one that is kept for all pictures (as before the fence), a
new one for each picture, and a new one behind the fence. Milliseconds are from the bytes to the hashes, by the clock,
with one picture at a time. Those of the processor are what the processes of that kind took for a picture, fork and all.
On a busy machine they tell more, and the ratios are of them.
"""

import argparse
import asyncio
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pillow_heif
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from examples.photographs import photograph
from hashcheck_core.images.hashing import hash_bytes
from hashcheck_service.fence.client import PROGRAM
from hashcheck_service.fence.layer import extent
from hashcheck_service.fence.messages import LENGTH
from hashcheck_service.metrics import Metrics
from hashcheck_service.pictures.pool import PicturePool
from hashcheck_service.pictures.worker import PictureLimits
from hashcheck_service.settings import Fence, Limits
from tests.hashcheck_service.fence.attacks import Targets, run

_KINDS: Final[Mapping[str, tuple[str, tuple[int, int], dict[str, Any]]]] = {
    "JPEG 320x240": ("JPEG", (320, 240), {"quality": 90}),
    "JPEG 4000x3000": ("JPEG", (4000, 3000), {"quality": 90}),
    "PNG 800x600": ("PNG", (800, 600), {"compress_level": 6}),
    "WEBP 1600x1200": ("WEBP", (1600, 1200), {"quality": 85, "method": 2}),
    "HEIC 1600x1200": ("HEIF", (1600, 1200), {"quality": 85}),
}
_WAYS: Final = ("kept", "forked", "fenced")
Look = Callable[[bytes], Awaitable[object]]


def pictures() -> dict[str, bytes]:
    pillow_heif.register_heif_opener()
    with Image.open(io.BytesIO(photograph("retina.jpg"))) as image:
        eye = image.convert("RGB")
    made = {}
    for name, (kind, size, options) in _KINDS.items():
        out = io.BytesIO()
        eye.resize(size, Image.Resampling.LANCZOS).save(out, kind, **options)
        made[name] = out.getvalue()
    return made


class Kept:
    """A process that looks at all pictures."""

    def __init__(self, limits: Limits) -> None:
        given = PictureLimits(limits.max_media_bytes, limits.max_pixels, limits.picture_seconds)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.unfenced", "kept", msgspec.json.encode(given).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    async def look(self, data: bytes) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(LENGTH.pack(len(data)) + data)
        self.process.stdin.flush()
        hash_bytes(data)
        self.process.stdout.read(*LENGTH.unpack(self.process.stdout.read(LENGTH.size)))

    def close(self) -> None:
        self.process.communicate()


async def costs(rounds: int) -> list[dict[str, Any]]:
    limits = Limits()
    kept = Kept(limits)
    forked = PicturePool(limits, Fence.BEST, Metrics(), ("-m", "benchmarks.unfenced", "zygote"))
    fenced = PicturePool(limits, Fence.REQUIRED, Metrics(), PROGRAM)

    def by(pool: PicturePool) -> Look:
        return lambda data: pool.look(data, dihedral=False, tenant="bench")

    ways = dict(zip(_WAYS, (kept.look, by(forked), by(fenced)), strict=True))
    made = pictures()
    pids: dict[str, int] = {}
    for way, look in ways.items():  # each starts its process with the first picture
        await look(made["JPEG 320x240"])
        pids[way] = next(pid for pid in _children() if pid not in pids.values())
    rows = []
    for name, data in made.items():
        times: dict[str, list[float]] = {way: [] for way in ways}
        before = {way: _processor_ms(pid) for way, pid in pids.items()}
        for _ in range(rounds):
            for way, look in ways.items():
                begin = time.perf_counter()
                await look(data)
                times[way].append(time.perf_counter() - begin)
                await asyncio.sleep(0.05)  # this process is buried and the next forked, as between requests
        ms = {way: float(np.median(taken)) * 1000 for way, taken in times.items()}
        processor = {way: (_processor_ms(pid) - before[way]) / rounds for way, pid in pids.items()}
        rows.append(
            {
                "picture": name,
                "bytes": len(data),
                **{f"{way}_ms": round(ms[way], 2) for way in ways},
                **{f"{way}_processor_ms": round(processor[way], 2) for way in ways},
                "forked_to_kept": round(processor["forked"] / processor["kept"], 2),
                "fenced_to_forked": round(processor["fenced"] / processor["forked"], 2),
                "fenced_to_kept": round(processor["fenced"] / processor["kept"], 2),
            }
        )
    kept.close()
    await forked.close()
    await fenced.close()
    return rows


def _children() -> list[int]:
    own = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split()]


def _processor_ms(pid: int) -> float:
    """What a process and its children that have ended took of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * 1000 / os.sysconf("SC_CLK_TCK")


async def acts() -> tuple[str, list[dict[str, Any]]]:
    """How much of the fence holds here, and what came of each act."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: str(Path(folder) / name) for name in ("key file", "list", "hit log")}
        for path in files.values():
            Path(path).write_text("theirs")
        layers, told = await run(Targets(files, {"worker": os.getpid()}))
    found: dict[tuple[str, str], list[str]] = {}
    for act, target, what in told:
        found.setdefault((act, what), []).append(target)
    rows = [{"act": act, "on": ", ".join(on), "answer": what} for (act, what), on in found.items()]
    return extent(layers), rows


def main() -> None:
    parser = argparse.ArgumentParser(description="What the fence costs, and what it refuses.")
    parser.add_argument("--rounds", type=int, default=20, help="of each picture and way")
    parser.add_argument("--acts", action="store_true", help="only what is refused, as a table in Markdown")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # for the attacker's module
    whole, refused = asyncio.run(acts())
    if options.acts:
        lines = [f"| {row['act']} | {row['on']} | {row['answer']} |" for row in refused]
        print("\n".join(["| act | on | answer |", "|---|---|---|", *lines]))
        return
    rows = asyncio.run(costs(options.rounds))
    result = {"benchmark": "fence", "machine": describe(), "fence": whole, "rows": rows, "acts": refused}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for shown in (rows, refused):
        table = Table(*shown[0])
        for row in shown:
            table.add_row(*(str(value) for value in row.values()))
        Console().print(table)


if __name__ == "__main__":
    main()
