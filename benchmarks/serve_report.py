"""docs/performance.md from the numbers of a run: python -m benchmarks.serve_report writes it and the plots anew.

The page is made from docs/serve-benchmark.json and never by hand; a test holds the two together.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.search_report import DOCS, table

NUMBERS = DOCS / "serve-benchmark.json"
Result = dict[str, Any]


def render(result: Result) -> str:
    """The page for one run of `python -m benchmarks full_serve`."""
    serve, machine = result["serve"], result["serve"]["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    parts = [
        "# Serving, measured",
        "Figures of `scripts/bench full_serve`, each part whole from one run. This page and the plots are made from `serve-benchmark.json` by "
        "`python -m benchmarks.serve_report`. [Search](search.md) has a page of its own.",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, shared with others; "
        f"Python {machine['python']}, {versions}. Pinned: {serve['pinned']}. Of all processor time the host took for others "
        + ", ".join(
            f"{result[part]['stolen_share']:.1%} ({part})"
            for part in ("serve", "overload", "images", "concurrency", "start", "soak")
            if "stolen_share" in result.get(part, {})
        )
        + " meanwhile, and more in some seconds than in others. Absolute rates on a shared machine move "
        "by half from run to run; ratios within a run are what counts.",
        "**These figures are older than the code.** They were taken on 2026-11-24, before h11 "
        "([ADR 26](adr/0026-the-wire.md)), sealed memory ([ADR 25](adr/0025-served-memory.md)) and one process for each "
        "picture ([ADR 27](adr/0027-fence.md)). A start on a large list and small pictures take longer now; those pages "
        "have figures.",
        "## Against the goals",
        table(("what", "goal", "measured", ""), goals(result)),
        "For one hash the ratio is (time of a request to a bare ASGI app that answers a constant, on uvicorn with "
        "httptools, its fastest parser, in the same run, and the engine's own time for one query) over the time of our request; for batches it is our "
        "hashes a second over the engine's own in process.",
        "## Where the time of one check goes",
        "One hash as JSON on the list of a million, by what was measured apart; µs a request.",
        table(("part", "µs"), left(result)),
        "A plain check is answered straight from the bytes read ([ADR 5](adr/0005-hot-path.md)), so most of what the bare "
        "server does for a constant is not done for it: the rest is reading, writing and the event loop, and what the "
        "search and the server push out of each other's caches. Of our own code the profile below says that it is Python, "
        "spread over many small functions. Of batches the decoding and the passes over a request's items are left, about "
        "a microsecond an item, and the collisions of search and server in the caches.",
        "## Checks over loopback",
        f"{serve['connections']} keep-alive connections, closed loop, {serve['seconds']:g} s each. The load generator never sleeps: "
        "else the server would pay for waking it, some 10 µs an answer on a virtual machine, and a constant answer, whose "
        "generator has no time to sleep, would not. "
        + ("Nothing failed."
        if not any(row["failed"] for one in serve["lists"] for row in one["rows"])
        else "**Some requests failed.**"),
        "![requests of one hash and hashes in batches](serve-benchmark.png)",
        *(
            part
            for one in serve["lists"]
            for part in (
                f"{one['listed']:,} listed; a constant answer: {one['constant_requests_per_second']:,.0f} requests/s; "
                "engine in process, µs a query: "
                + ", ".join(f"{us} in {batch}s" for batch, us in one["engine_us_per_query"].items())
                + ".",
                table(
                    ("workers", "form", "hashes in a request", "requests/s", "hashes/s", "ratio", "processor µs", "p50 µs", "p99 µs", "p99.9 µs"),
                    (
                        (
                            row["workers"], row["form"], row["batch"], f"{row['requests_per_second']:,.0f}",
                            f"{row['hashes_per_second']:,.0f}", row["goal_ratio"], row.get("processor_us_per_request", ""), row["p50_us"], row["p99_us"],
                            row["p999_us"],
                        )
                        for row in one["rows"]
                    ),
                ),
            )
        ),
        "`processor` is what a request took of the processors in all workers together. With two workers on two cores the "
        "load generator shares a core with one of them, so their rate is what is left beside it; that a request takes of "
        "two workers what it takes of one says how they would scale on cores of their own.",
        "## At half, nine tenths and twice the capacity",
        f"Open loop over {result['overload'].get('connections', 1024):,} connections: a request's time runs from when it was to be sent. Goodput is of the peak that "
        "a closed loop reached just before.",
        table(
            (
                "hashes", "offered", "offered/s", "goodput", "503", "other", "unanswered", "p50 µs", "p99 µs", "p99.9 µs",
                "503 p50 µs", "503 p99 µs",
            ),
            (
                (
                    row["batch"], f"{row['offered_share']:.0%}", f"{row['offered_per_second']:,}",
                    f"{row['goodput_share_of_peak']:.0%}", f"{row['refused_503']:,}", row["other_answers"],
                    row["unanswered"], row["p50_us"], row["p99_us"], row["p999_us"], row.get("refused_p50_us", ""),
                    row.get("refused_p99_us", ""),
                )
                for row in result["overload"]["rows"]
            ),
        ),
        "## Pictures",
        "One at a time over one connection. `own` is decoding and hashing in one process, without the service. Bits off "
        "are against the reference libraries (pdqhash, imagehash) on the full picture.",
        table(
            ("picture", "bytes", "Pillow's decode ms", "own ms", "service ms", "pictures/s", "times Pillow", "PDQ bits off", "pHash bits off"),
            (
                (
                    row["picture"], f"{row['bytes']:,}", row["pillow_decode_ms"], row["decode_and_hash_ms"],
                    row["service_ms"], row["pictures_per_second"], row["times_pillow"], row["pdq_bits_off"],
                    row["phash_bits_off"],
                )
                for row in result["images"]["rows"]
            ),
        ),
        "## Start and memory",
        "From the command to the first 200 of `/readyz`, kernels cached; memory of each of two workers. What is shared "
        "is the snapshot and the libraries.",
        table(
            ("listed", "snapshot MiB", "seconds to ready", "private MiB", "shared MiB"),
            (
                (
                    f"{row['listed']:,}", row["snapshot_mib"], ", ".join(map(str, row["seconds_to_ready"])),
                    ", ".join(str(one["private"]) for one in row["workers_mib"]),
                    ", ".join(str(one["shared"]) for one in row["workers_mib"]),
                )
                for row in result["start"]["rows"]
            ),
        ),
        "## Where searches run",
        "Single searches one after the other beside 64 of them gathered into one batch, µs a query with all that it takes "
        "to hand out the answers; and singles beside batches of 1,000 through the ASGI callable, the batches searched on "
        "the event loop or in a thread ([ADR 18](adr/0018-concurrency.md)).",
        table(
            ("listed", "one by one µs", "gathered µs"),
            ((f"{one['listed']:,}", one["gather"]["one_by_one_us"], one["gather"]["gathered_us"]) for one in result["concurrency"]["lists"]),
        ),
        table(
            ("listed", "batches searched in", "singles/s", "batches/s", "a single's p50 µs", "p99 µs"),
            (
                (
                    f"{one['listed']:,}", row["batches_searched_in"], row["singles_per_second"],
                    row["batches_per_second"], row["single_p50_us"], row["single_p99_us"],
                )
                for one in result["concurrency"]["lists"]
                for row in one["threads"]
            ),
        ),
        *(("## Soak", *soak(result)) if "soak" in result else ()),
        "## The hot path, before and after",
        "In process, no socket, a list of a million: before, the ASGI callable (without uvicorn's own work); after, the "
        "server's end of a connection (with it). `own` is without what a function calls; the profiler adds its own cost to "
        "every call, so the rows show where the time goes, not how much.",
        *profiles(result),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def goals(result: Result) -> Iterator[tuple[str, str, str, str]]:
    """(what, goal, measured, met or missed) of the serving goals."""
    for one in result["serve"]["lists"]:
        for row in one["rows"]:
            if row["workers"] == 1 and row["batch"] in (1, 256):
                goal = 0.8 if row["batch"] == 1 else 0.9
                what = f"{row['batch']} in a request, {row['form']}, {one['listed']:,} listed: ratio"
                yield what, f"at least {goal}", str(row["goal_ratio"]), _met(row["goal_ratio"] >= goal)
    for row in result["overload"]["rows"]:
        if row["offered_share"] == 2:
            share = row["goodput_share_of_peak"]
            what = f"twice the capacity, {row['batch']} in a request: goodput of the peak"
            lost = row["unanswered"] + row["other_answers"]
            if share > 1.1:  # then what was offered was not twice the capacity either
                yield what, "at least 0.9, nothing hangs", f"peak measured too low ({share})", "**not shown**"
                continue
            if row.get("unsent"):
                told = f"{share}; the generator could not send {row['unsent']:,} of its requests in time"
                yield what, "at least 0.9, nothing hangs", told, "**not shown**"
                continue
            met = _met(share >= 0.9 and not lost)
            yield what, "at least 0.9, nothing hangs", f"{share}, {lost} unanswered", met
    worst = max(result["images"]["rows"], key=lambda row: row["times_pillow"])
    over = sum(row["times_pillow"] > 2 for row in result["images"]["rows"])
    yield (
        "picture, against Pillow's decode",
        "at most 2 times",
        f"{worst['times_pillow']} at worst ({worst['picture']}); {over} of {len(result['images']['rows'])} above 2",
        _met(not over),
    )
    start = max(result["start"]["rows"], key=lambda row: row["listed"])
    seconds = start["seconds_to_ready"][len(start["seconds_to_ready"]) // 2]
    yield f"start to ready, {start['listed']:,} listed", "at most 3 s", f"{seconds} s", _met(seconds <= 3)


def _met(met: object) -> str:
    return "met" if met else "**missed**"


def left(result: Result) -> Iterator[tuple[str, float]]:
    """(part, microseconds) of a single check."""
    one = next(one for one in result["serve"]["lists"] if one["listed"] == 1_000_000)
    row = next(row for row in one["rows"] if (row["workers"], row["form"], row["batch"]) == (1, "json", 1))
    alone = next(row for row in result["in_process"]["rows"] if row["batch"] == 1)["us_per_request"]
    whole, server = 1e6 / row["requests_per_second"], 1e6 / one["constant_requests_per_second"]
    engine = one["engine_us_per_query"]["1"]
    yield "a request over loopback", round(whole, 1)
    yield "of it: the search, by the engine in process", engine
    yield "of it: our own code, in process, without the search", round(alone - engine, 1)
    yield "of it: socket, event loop and the rest", round(whole - alone, 1)
    yield "beside it: a request to the bare server, which answers a constant", round(server, 1)


def soak(result: Result) -> Iterable[str]:
    found = result["soak"]
    yield (
        f"{found['minutes']:g} minutes, {found['workers']} workers: snapshots swapped, good and bad requests, pictures, "
        "callers of a byte a second, connections that say nothing, workers killed."
    )
    yield table(
        ("what", "count"), ((name.replace("_", " "), f"{n:,}") for name, n in found["counts"].items())
    )
    yield (
        f"Private memory of the workers at the start {found['private_mib_start']} MiB, at the end "
        f"{found['private_mib_end']} MiB; crashes logged: {found['crashes_logged']}."
    )


def profiles(result: Result) -> Iterator[str]:
    for name in ("before", "in_process"):
        for row in result[name]["rows"]:
            when = "Before" if name == "before" else "After"
            if result[name]["machine"]["cpu"] != result["serve"]["machine"]["cpu"]:
                when += f", on another machine ({result[name]['machine']['cpu']})"
            yield f"{when}, {row['batch']} in a request: {row['us_per_request']} µs."
            yield table(
                ("function", "calls", "own µs", "with callees µs"),
                (
                    (
                        f"`{one['function'].replace('|', ' ')}`",
                        one["calls"],
                        one["own_us"],
                        one["with_callees_us"],
                    )
                    for one in row["profile"][:12]
                ),
            )


def main() -> None:
    from benchmarks.plot import plot_serve

    result = json.loads(NUMBERS.read_text())
    (DOCS / "performance.md").write_text(render(result))
    plot_serve(result, DOCS / "serve-benchmark.png")


if __name__ == "__main__":
    main()
