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
