"""The service: one snapshot in, verdicts out. It never builds.

The path of a check:

    envelope  request id, snapshot reference, headers, one shape for every error
    routes    bytes to typed items and back            (wire, problems)
    auth      the key names the tenant                 (keys in memory)
    checks    items, snapshot, policy -> results       (pure)
    hit_log   a hit is on disk before it is answered

The path of a snapshot:

    fetcher   store -> state directory, by one worker of a machine
    state     what all workers share, and a restart must not forget
    follower  state directory -> what this worker serves
"""
