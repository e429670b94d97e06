"""The multi-index engine: exact Hamming search in a few cache misses, over plain memory-mapped arrays.

    layout        which bits make which chunk, and the radii that lose no neighbour
    planner       the layout to choose for n rows: a cost model, checked by scripts/bench search
    correlation   which bits to put together, from the list itself
    tables        the arrays, built by counting sort
    probes        the buckets to look at for a radius
    kernels       the search (numba), over addresses; intrinsics and scan beneath it
    engine        MultiIndexEngine: the SearchEngine over all of these

docs/adr/0007-multi-index.md explains the method and gives its measurements.
"""
