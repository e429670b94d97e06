"""The snapshot: an immutable, versioned, signed, memory-mapped build of the whole list.

    writer    arrays in, a directory out              (used by index_builder)
    verifier  bytes in, a verified manifest out       (pure)
    opener    a directory in, an open Snapshot out    (thin I/O around the verifier)
    pointer   which snapshot is the current one

docs/snapshot-format.md describes the files.
"""
