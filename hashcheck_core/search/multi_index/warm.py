"""Have every kernel of the engine compiled into numba's cache, before there is a list."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashcheck_core.search.multi_index.engine import open_multi_index
from hashcheck_core.search.multi_index.layout import Layout
from hashcheck_core.search.multi_index.tables import build_tables


def warm() -> None:
    layout = Layout(64, (16,) * 4, (8,) * 4, (0,) * 4, 3, 16)
    codes = np.zeros((1, 8), np.uint8)
    tables = build_tables(layout, codes)
    arrays: dict[str, NDArray[Any]] = {
        "codes": codes,
        "buckets": tables.buckets,
        "signatures": tables.signatures,
        "ids": tables.ids,
    }
    open_multi_index(layout.parameters(), arrays)
