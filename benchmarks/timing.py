"""Whether the time of an answer tells a listed hash from one that is not: by /v1/check (JSON) and the text endpoints.

The same caller asks one hash at a time over one connection, of each kind in a new random order each round, so that
whatever else the machine does falls on all kinds alike. `unlisted` is compared with `listed`; with `near`, unlisted
PDQ hashes that lie just beyond the radius of a listed one; and with `unlisted_too`, a second lot of the same kind,
which shows what chance alone does here.

`longer` is the Mann-Whitney U by the number of pairs: how often one of the kind takes longer than an unlisted one;
0.5 tells nothing. `p_value`: how likely so far from 0.5 is by chance.
"""

import argparse
import json
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import mannwhitneyu

from benchmarks.load import request
from benchmarks.machine import describe
from benchmarks.neighbour import read_answer
from benchmarks.serve import pin, port_of
from benchmarks.sites import Codes, codes_of, digests_of, key_of, site_of, strangers
from tests.support import serving

_WARM: Final = 50  # rounds before those that count
_BEYOND: Final = 40  # bits off a listed PDQ hash: the radius is 31
_NOT_LISTED: Final = "unlisted"
Kinds = Mapping[str, Sequence[bytes]]


def kinds_of(rows: int, count: int, key: str) -> dict[str, Kinds]:
    """`count` requests of each kind, by the way of asking. No hash comes twice: every match is a new one."""
    listed = np.random.default_rng(4).permutation(rows)[: 2 * count]
    codes, digests = codes_of(rows)[listed], digests_of(rows)[listed]
    others, others_too = (strangers(2 * count, seed) for seed in (5, 6))
    pictures = {"listed": codes, "near": _beyond(codes), _NOT_LISTED: others, "unlisted_too": others_too}
    files = {"listed": digests, _NOT_LISTED: others[:, :16], "unlisted_too": others_too[:, :16]}
    return {
        "json, pdq": {
            name: [_json("pdq", v, key) for v in values[:count]] for name, values in pictures.items()
        },
        "json, md5": {name: [_json("md5", v, key) for v in values[:count]] for name, values in files.items()},
        "text, md5": {name: [_text(v, key) for v in values[count:]] for name, values in files.items()},
    }


def _beyond(codes: Codes) -> Codes:
    """Each hash with some bits changed: not on the list any more, but near it."""
    bits = np.unpackbits(codes, axis=1)
    for row, generator in zip(bits, np.random.default_rng(7).spawn(len(bits)), strict=True):
        row[generator.choice(len(row), _BEYOND, replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def _json(kind: str, value: np.ndarray[Any, Any], key: str) -> bytes:
    item = {"ref": "r", "hashes": [{"type": kind, "value": value.tobytes().hex(), "quality": 100}]}
    return request("/v1/check", msgspec.json.encode({"items": [item]}), key)


def _text(value: np.ndarray[Any, Any], key: str) -> bytes:
    return request("/v1/check/md5", value.tobytes().hex().encode(), key, "text/plain")


def ask(port: int, kinds: Kinds) -> dict[str, dict[str, Any]]:
    """Ask all of each kind, in rounds; the seconds and the bytes of the answers, by kind."""
    times: dict[str, list[float]] = {name: [] for name in kinds}
    sizes: dict[str, int] = {}
    random = np.random.default_rng(8)
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(min(map(len, kinds.values()))):
            for name in random.permutation(list(kinds)):
                begin = time.perf_counter()
                raw.sendall(kinds[name][number])
                answer = read_answer(raw)
                took = time.perf_counter() - begin
                _must_be(name, answer)
                sizes[name] = len(answer)
                if number >= _WARM:
                    times[name].append(took)
    return {name: {"seconds": taken, "answer_bytes": sizes[name]} for name, taken in times.items()}


def _must_be(name: str, answer: str) -> None:
    said = ('"verdict":"match"', "\r\ntrue") if name == "listed" else ('"verdict":"no_match"', "\r\nfalse")
    if not answer.startswith("HTTP/1.1 200 ") or not any(words in answer for words in said):
        raise SystemExit(f"This is not the answer to a hash that is {name}: {answer[:500]}")


def compared(asked: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By kind the spread of its times in microseconds, and how it stands to those of unlisted hashes."""
    base = np.array(asked[_NOT_LISTED]["seconds"]) * 1e6
    found: dict[str, dict[str, Any]] = {}
    for name, what in asked.items():
        micro = np.array(what["seconds"]) * 1e6
        spread = {f"p{p}_us": round(float(np.percentile(micro, p)), 1) for p in (5, 25, 50, 75, 95)}
        found[name] = {"count": len(micro), "answer_bytes": what["answer_bytes"], **spread}
        if name != _NOT_LISTED:
            test = mannwhitneyu(micro, base)
            found[name]["median_ratio"] = round(float(np.median(micro) / np.median(base)), 3)
            found[name]["longer"] = round(float(test.statistic) / (len(micro) * len(base)), 3)
            found[name]["p_value"] = float(f"{test.pvalue:.2g}")
    return found


def run(options: argparse.Namespace) -> dict[str, Any]:
    site = site_of(options.rows, md5=True)
    key = key_of(site)
    ways = kinds_of(options.rows, options.rounds + _WARM, key)
    pin(0, 1)
    with serving(site, key=key) as server:
        for pid in server.workers():
            pin(pid, 0)
        rows = {way: compared(ask(port_of(server), kinds)) for way, kinds in ways.items()}
    return {"benchmark": "timing", "machine": describe(), "listed": options.rows, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether the time of an answer tells what is listed.")
    parser.add_argument("--rows", type=int, default=100_000, help="size of the list")
    parser.add_argument(
        "--rounds", type=int, default=1000, help="questions of each kind that count, by JSON and text"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    result = run(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    table = Table(
        "asked by", "hash", "count", "bytes", "p5", "p25", "p50", "p75", "p95 µs", "ratio", "longer", "p"
    )
    for way, kinds in result["rows"].items():
        for name, row in kinds.items():
            table.add_row(way, *map(str, (name, *row.values())))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
