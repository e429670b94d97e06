"""The gates: what a list has to pass before it becomes a snapshot that anyone could publish.

Each gate is a function of arrays and numbers with a threshold in the config, a name, and a line in the report. A gate
may hold entries out for a person to look at, and it may fail, which stops the build with nothing written.

    complete        of each feed: enough of its rows can be used, and it was read to its end
    drift           of each feed: it has not grown, shrunk, changed its mix or aged beyond its limits
    known_good      no entry is an ordinary file or looks like an ordinary picture
    degenerate      no family of hashes is so dense that it would match much of anything
    corroboration   enough sources or opinions stand behind an entry, and nobody disputes it
    canaries        in the finished snapshot listed hashes are found, at distance 0 and at the radius
    benign          in the finished snapshot no ordinary picture, nor a variant of one, matches
"""
