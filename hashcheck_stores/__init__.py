"""Where published snapshots lie: a directory, an HTTPS server, a bucket.

    store      what a store is, and the limits on everything fetched from one
    directory, https, bucket   the three kinds
    location   a store from what an operator wrote
    download   one verified snapshot from a store onto this machine's disk

index_builder publishes into a store, hashcheck_service follows one. No store is ever believed: what comes out of
it is verified by hashcheck_core.
"""
