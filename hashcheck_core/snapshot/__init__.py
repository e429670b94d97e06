"""The snapshot: an immutable, versioned, signed, memory-mapped build of the whole list.

    writer    arrays in, a directory out              (used by index_builder)
    verifier  bytes in, a verified manifest out       (pure)
    opener    a directory in, an open Snapshot out    (thin I/O around the verifier)
    pointer   which snapshot is the current one
    overlay   what is taken out of force, or added, over whatever snapshot is
    keys      who may sign what
    signed    the form that pointer, overlay and keys file have
    trust     what may be believed, and what must be remembered of it (pure)

docs/snapshot-format.md describes the files.
"""
