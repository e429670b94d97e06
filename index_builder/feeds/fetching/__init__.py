"""From the network into sealed batches. A poller says what to ask a source for, one file each; the rest is common.

It vets nothing and builds nothing: `index-builder build` reads the batches, and needs no network for it.
"""
