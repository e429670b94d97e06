"""The reserved test hashes: listed in every snapshot, in force for every caller, in category `test`.

They are the hashes of one generated picture, examples/test-picture.png, so that an integrator can try every
door: the exact hashes, the perceptual ones, a near copy, the picture itself. They are written down here
rather than computed, so that no change of a library moves them; a test holds that the picture gives them.
"""

from typing import Final

from hashcheck_core.hash_types import BUILT_IN_TYPES, Hash

TEST_ENTRY_ID: Final = bytes.fromhex("7e577e577e577e577e577e577e577e57")
TEST_SOURCE: Final = "hashcheck-test"

TEST_HASHES: Final = tuple(
    Hash.from_hex(BUILT_IN_TYPES[name], value)
    for name, value in (
        ("md5", "22e22862a33559570f5d13f6a43482ff"),
        ("pdq", "bc699df61f3bfac462c4720b5396a58dd82862602f0ad03ad8a8a5de1ee9276d"),
        ("phash", "d5db4b3d8a2ea803"),
        ("sha1", "a605869967b987f28a55d31e0fe366af2a9a1d29"),
        ("sha256", "09ea6917a1bae06b85d3e491a552ab43986ab3fe0d3d6bd7e15f4912f89ee0d8"),
    )
)
