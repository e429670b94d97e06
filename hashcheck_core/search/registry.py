"""The engine a snapshot names for a hash type, opened over the snapshot's arrays.

It does not choose: the builder has chosen, and the manifest says what.
"""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from hashcheck_core.errors import SnapshotFormatError
from hashcheck_core.search.engine import SearchEngine
from hashcheck_core.search.exact import SortedEngine
from hashcheck_core.search.flat import FlatEngine
from hashcheck_core.search.multi_index.layout import ENGINE_NAME


def open_engine(name: str, parameters: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> SearchEngine:
    """Open engine `name` over `arrays` (by role: `codes`, and whatever else the engine needs).

    Raises SnapshotFormatError for an engine this version does not have, or arrays that do not fit its parameters.
    """
    if name == FlatEngine.name:
        return FlatEngine(arrays["codes"])
    if name == SortedEngine.name:
        return SortedEngine(arrays["codes"])
    if name == ENGINE_NAME:
        # Its compiler takes half a second to load. Commands that open no such list need not wait for it.
        from hashcheck_core.search.multi_index.engine import open_multi_index

        return open_multi_index(parameters, arrays)
    raise SnapshotFormatError(
        f"The snapshot asks for search engine {name[:40]!r}, which this version does not have.",
        next_step="Upgrade hashcheck here, or build the snapshot with an older index-builder.",
    )
