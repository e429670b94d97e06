"""docs/search.md from the numbers of a run: python -m benchmarks.search_report writes it and the plot anew.

The page is made from docs/search-benchmark.json and never by hand; a test holds the two together.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
NUMBERS = DOCS / "search-benchmark.json"
Rows = list[dict[str, Any]]


def render(result: dict[str, Any]) -> str:
    """The page for one run of `scripts/bench search`."""
    rows: Rows = result["rows"]
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    ours = [row for row in rows if row["engine"] == "hashcheck"]
    parts = [
        "# Search, measured",
        "One run of `scripts/bench search`, all engines in the same run on the same data, one thread. This page and "
        "the plot are made from `search-benchmark.json` by `python -m benchmarks.search_report`.",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, shared with others; "
        f"Python {machine['python']}, {versions}. Times on a shared machine move by half from run to run; ratios "
        "within the run are what counts.",
        "![cost of one query against list size](search-benchmark.png)",
        "## Against the goals",
        table(("what", "goal", "measured"), goals(rows, result["adversarial"])),
        "## Every engine",
        "`missing` counts checked queries (planted at every distance from 0 to the radius + 1, and strangers) of which "
        "some neighbour was not found; anything but 0 is not exact. `faster` is against FAISS's flat scan of a query. "
        "Memory of other engines is the growth of the process and rough for small lists.",
        table(
            (
                "engine", "bits", "radius", "data", "listed", "p50 µs", "p99 µs", "in 256s, µs a query", "faster",
                "bytes a hash", "build s", "missing",
            ),
            (
                (
                    row["engine"], row["bits"], row["radius"], row["data"], f"{row['n']:,}", row["p50_us"],
                    row["p99_us"], row["batch256_us"], row["times_faster_than_faiss_flat"], row["bytes_per_hash"],
                    row["build_s"], f"{row['queries_missing_some']} of {row['queries_checked']}",
                )
                for row in rows
            ),
        ),
        "## The plan, the model and the floor",
        "The floor is the time of the plan's cache lines alone, each at the measured price of a random, well "
        "prefetched read of an array of that size on this machine in this run. It leaves out the call "
        "and all arithmetic.",
        table(
            ("bits", "radius", "data", "listed", "plan", "probes", "survivors", "model µs", "floor µs", "measured µs"),
            (
                (
                    row["bits"], row["radius"], row["data"], f"{row['n']:,}", row["parameters"], row["probes"],
                    row["survivors"], row["model_us"], row["floor_us"], row["p50_us"],
                )
                for row in ours
                if "floor_us" in row
            ),
        ),
        "## Skewed lists, adversarial queries",
        "1 % of the rows lie within six bits of one hash and thousands are equal; the queries are made to meet their "
        "crowded buckets. `ratio` is our time over FAISS's flat scan of the same query. "
        + result.get("adversarial_note", ""),
        table(
            ("query", "listed", "ours µs", "FAISS flat µs", "ratio", "matches", "same answer"),
            (
                (
                    row["query"], f"{row['n']:,}", row["ours_us"], row["faiss_flat_us"], row["ratio"],
                    row["matches"], "yes" if row["same_answer"] else "NO",
                )
                for row in result["adversarial"]
            ),
        ),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def goals(rows: Rows, adversarial: Rows) -> Iterable[tuple[str, str, str]]:
    """(what, goal, measured) of the search goals."""
    for n, goal in ((1_000_000, 15), (10_000_000, 100), (131_000_000, 400)):
        row = _ours(rows, n)
        if row is not None:
            faster = f"{row['times_faster_than_faiss_flat']:g} times ({row['p50_us']} µs)"
            yield f"one query, {n:,} hashes, against FAISS flat", f"{goal} times faster", faster
    for n, most in ((10_000_000, 125), (131_000_000, 90)):
        row = _ours(rows, n)
        if row is not None:
            yield f"codes and tables, {n:,} hashes", f"{most} bytes a hash", f"{row['bytes_per_hash']}"
            if n > 100_000_000:
                peak = f"{row['peak_build_gib']} GiB, {row['build_s']} s"
                yield f"building {n:,} hashes, codes included", "16 GB at most", peak
    if adversarial:
        worst = max(adversarial, key=lambda row: row["ratio"])
        measured = f"{worst['ratio']} ({worst['query']}, {worst['n']:,} hashes)"
        yield "skewed list, worst query, against its flat scan", "1.2 times at most", measured
    missing = sum(row["queries_missing_some"] for row in rows if row["engine"] == "hashcheck")
    checked = sum(row["queries_checked"] for row in rows if row["engine"] == "hashcheck")
    yield "queries of which a neighbour was missed", "0", f"{missing} of {checked:,}"


def _ours(rows: Rows, n: int) -> dict[str, Any] | None:
    wanted = ("hashcheck", n, 256, "uniform")
    return next((r for r in rows if (r["engine"], r["n"], r["bits"], r["data"]) == wanted), None)


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    names = list(head)
    lines: list[list[object]] = [names, ["---"] * len(names), *map(list, rows)]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def main() -> None:
    from benchmarks.plot import plot_search

    result = json.loads(NUMBERS.read_text())
    (DOCS / "search.md").write_text(render(result))
    plot_search(result, DOCS / "search-benchmark.png")


if __name__ == "__main__":
    main()
