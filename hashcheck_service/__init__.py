"""The service: one snapshot in, verdicts out. It never builds.

web        requests in, answers out: request ids, one shape for every error
admission  who asks, and whether one more request can be taken on
checking   items, snapshot and policy in, verdicts out. Pure
fence      a process for each stranger's file, that can do nothing but read it and answer
pictures   bytes of a picture in, hashes out, by such processes
hit_log    a hit is on disk before it is answered
sync       the list in force: from the store to this machine's state directory, from there to each worker
"""
