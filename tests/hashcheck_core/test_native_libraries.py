"""The picture decoders that wheels carry: the table of known faults, and the versions that are installed."""

import pytest

from hashcheck_core.images.native_libraries import compared, installed_versions, known_faults

TABLE = known_faults()
MINIMUMS = {library.name: library.minimum for library in TABLE.library}


def test_no_decoder_that_is_installed_is_known_to_be_vulnerable() -> None:
    assert [library.trouble for library in compared(TABLE, installed_versions()) if library.trouble] == []


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("1.3.1", False), ("1.3.2", True), ("1.3.10", True), ("1.10.0", True), ("0.9.9", False), ("2.0", True),
        ("1.3", False), ("1.3.2.1", True),
    ],
)  # fmt: skip
def test_versions_are_compared_number_by_number(version: str, good: bool) -> None:
    [libwebp] = [
        library
        for library in compared(TABLE, {**MINIMUMS, "libwebp": version})
        if library.faults.name == "libwebp"
    ]
    assert libwebp.trouble == (
        "" if good else f"libwebp {version} is older than 1.3.2, which fixed CVE-2023-4863."
    )


def test_a_decoder_whose_version_cannot_be_found_is_not_called_good() -> None:
    installed = {name: version for name, version in MINIMUMS.items() if name != "libde265"}
    [trouble] = [library.trouble for library in compared(TABLE, installed) if library.trouble]
    assert trouble.startswith("The version of libde265 cannot be found. It must be at least 1.1.2")


def test_every_row_says_where_it_is_written() -> None:
    assert len(MINIMUMS) == len(TABLE.library)
    for library in TABLE.library:
        assert library.source.startswith("https://")
        assert library.fixed
