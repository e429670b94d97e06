"""What a result was measured on, and the shape all benchmarks give their numbers."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np


def describe() -> dict[str, Any]:
    """The machine and the versions that matter, for the head of every result."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numpy", "faiss-cpu", "uvicorn", "hashcheck")},
    }


def spread(seconds: "list[float]") -> dict[str, float]:
    """Median and percentiles of times, in microseconds."""
    micro = np.array(seconds) * 1e6
    names = {"p50_us": 50, "p90_us": 90, "p99_us": 99, "p999_us": 99.9}
    return {name: round(float(np.percentile(micro, p)), 1) for name, p in names.items()}
