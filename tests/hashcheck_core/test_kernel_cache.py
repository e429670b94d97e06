"""Kernels are compiled once and kept, and a start where nothing can be written works all the same."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import tempfile, time
from pathlib import Path
from hashcheck_core.search.multi_index import jit, kernels, warm
warm.warm()
stats = kernels.search.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), jit.numba.config.CACHE_DIR)
"""


def start(cache: Path | str, temporary: Path) -> tuple[int, int, str]:
    """(kernels loaded, kernels compiled, cache folder) of a fresh process."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "TMPDIR": str(temporary)}
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=120,
    ).stdout.split()
    return int(out[0]), int(out[1]), out[2]


def test_a_second_start_compiles_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "kernels"
    loaded, compiled, _ = start(cache, tmp_path)
    assert (loaded, compiled) == (0, 2)
    loaded, compiled, folder = start(cache, tmp_path)
    assert (loaded, compiled) == (2, 0)
    assert folder == str(cache)


def test_where_the_cache_cannot_be_written_a_private_folder_is_used_and_removed(tmp_path: Path) -> None:
    loaded, compiled, folder = start("/proc/kernels", tmp_path)
    assert (loaded, compiled) == (0, 2)
    assert Path(folder).parent == tmp_path
    assert not Path(folder).exists()
