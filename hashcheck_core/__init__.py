"""The shared ground of hashcheck: hash types, image hashing, exact search, and the snapshot format.

It imports no web framework and no HTTP client, and nothing of `index_builder` or `hashcheck_service`.
"""

__version__ = "0.1.0"
