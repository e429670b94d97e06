"""Plots of benchmark results: for those who would rather look than read."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def plot_search(result: dict[str, Any], path: Path) -> None:
    """Median time of one query against list size, a line for each engine; approximate engines dashed."""
    figure, panels = plt.subplots(1, 3, figsize=(15, 5.2), sharey=True)
    wanted = (
        (256, 31, "PDQ-sized: 256 bits, radius 31"),
        (64, 4, "64 bits, radius 4"),
        (64, 8, "64 bits, radius 8"),
    )
    for panel, (bits, radius, title) in zip(panels, wanted, strict=True):
        for engine in dict.fromkeys(row["engine"] for row in result["rows"]):
            rows = sorted(
                (row["n"], row["p50_us"], row["queries_missing_some"] / max(1, row["queries_checked"]))
                for row in result["rows"]
                if (row["engine"], row["bits"], row["radius"], row["data"])
                == (engine, bits, radius, "uniform")
            )
            if not rows:
                continue
            missed = max(row[2] for row in rows)
            label = engine if not missed else f"{engine} (misses in up to {missed:.0%} of queries)"
            style = {"linewidth": 2.5, "color": "black"} if engine == "hashcheck" else {"linewidth": 1.3}
            dash = "--" if missed else "-"
            panel.plot([r[0] for r in rows], [r[1] for r in rows], dash, marker="o", label=label, **style)
        if bits == 256:
            real = [
                row for row in result["rows"] if row["data"] == "photographs" and row["engine"] == "hashcheck"
            ]
            for row in real:
                panel.plot(
                    row["n"],
                    row["p50_us"],
                    "*",
                    markersize=13,
                    color="black",
                    label="hashcheck, photographs",
                )
        panel.set(xscale="log", yscale="log", xlabel="listed hashes", title=title)
        panel.grid(visible=True, which="major", alpha=0.3)
        panel.legend(fontsize=7.5, loc="upper left")
    panels[0].set_ylabel("one query, median, µs")
    machine = result["machine"]
    figure.suptitle(f"Cost of one query, one thread of {machine['cpu']}, all engines in one run", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_serve(result: dict[str, Any], path: Path) -> None:
    """Requests of one hash beside the constant answer; hashes in batches beside the engine; latency by load."""
    figure, panels = plt.subplots(1, 3, figsize=(15, 4.8))
    lists = result["serve"]["lists"]
    labels, ours, constant = [], [], []
    for one in lists:
        for row in one["rows"]:
            if row["workers"] == 1 and row["batch"] == 1:
                labels.append(f"{one['listed'] // 1_000_000} M\n{row['form']}")
                ours.append(row["requests_per_second"])
                constant.append(one["constant_requests_per_second"])
    places = range(len(labels))
    panels[0].bar([p - 0.2 for p in places], constant, 0.4, label="constant answer", color="lightgrey")
    panels[0].bar([p + 0.2 for p in places], ours, 0.4, label="one hash checked", color="black")
    panels[0].set_xticks(list(places), labels)
    panels[0].set(title="one hash in a request", ylabel="requests a second, one worker")
    panels[0].legend()
    for one in lists:
        engine = {int(batch): 1e6 / us for batch, us in one["engine_us_per_query"].items()}
        name = f"{one['listed'] // 1_000_000} M"
        [line] = panels[1].plot(list(engine), list(engine.values()), "--", label=f"engine alone, {name}")
        for form, mark in (("json", "o"), ("msgpack", "s")):
            rows = [row for row in one["rows"] if row["workers"] == 1 and row["form"] == form]
            panels[1].plot(
                [row["batch"] for row in rows],
                [row["hashes_per_second"] for row in rows],
                f"-{mark}",
                color=line.get_color(),
                label=f"{form}, {name}",
                alpha=0.9 if form == "json" else 0.5,
            )
    panels[1].set(
        xscale="log", yscale="log", title="hashes in batches", xlabel="in a request", ylabel="hashes a second"
    )
    panels[1].legend(fontsize=8)
    for batch in dict.fromkeys(row["batch"] for row in result["overload"]["rows"]):
        rows = [row for row in result["overload"]["rows"] if row["batch"] == batch]
        shares = [row["offered_share"] * 100 for row in rows]
        panels[2].plot(
            shares, [row["p99_us"] / 1000 for row in rows], "-o", label=f"{batch} in a request, p99"
        )
    panels[2].set(
        yscale="log", title="answers under load, open loop", xlabel="offered, % of capacity", ylabel="ms"
    )
    panels[2].legend(fontsize=8)
    for panel in panels:
        panel.grid(visible=True, which="major", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
