"""The native libraries that decode pictures: the versions that are installed, and which are known to be vulnerable.

The wheels of Pillow and pillow-heif carry these libraries inside them, where no scanner of Python packages sees their
versions. The table beside this file holds the oldest good version of each.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files

import msgspec
import pillow_heif
from PIL import __version__ as pillow_version
from PIL import features

_NUMBER = re.compile(r"\d+(?:\.\d+)+")
_AVIF_DECODER = re.compile(r"dav1d \[dec\]:(\d+(?:\.\d+)+)")


class KnownFaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one library: a row of the table."""

    name: str
    carried_by: str  # the Python package whose wheel holds it
    minimum: str  # the oldest version without a known fault that has been mended
    fixed: str  # what `minimum` mended
    source: str  # where that is written
    not_yet_fixed: str = ""  # a known fault that no release mends


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table of known faults, and the day on which a person last compared it with what is published."""

    renewed: date
    library: tuple[KnownFaults, ...]


@dataclass(frozen=True, slots=True)
class NativeLibrary:
    """A library with the version that is installed; `version` is empty where it could not be found."""

    faults: KnownFaults
    version: str

    @property
    def trouble(self) -> str:
        """What is wrong with it, as a sentence; empty where its version is known and not below the minimum."""
        least = f"{self.faults.minimum}, which fixed {self.faults.fixed}"
        if not self.version:
            return f"The version of {self.faults.name} cannot be found. It must be at least {least}."
        if _parts(self.version) < _parts(self.faults.minimum):
            return f"{self.faults.name} {self.version} is older than {least}."
        return ""


def known_faults() -> Table:
    """The table that is shipped with this version."""
    text = files("hashcheck_core.images").joinpath("native_libraries.toml").read_bytes()
    return msgspec.toml.decode(text, type=Table)


def compared(table: Table, installed: Mapping[str, str]) -> list[NativeLibrary]:
    """Every library of the table beside its version in `installed`, by name."""
    return [NativeLibrary(faults, installed.get(faults.name, "")) for faults in table.library]


def installed_versions() -> dict[str, str]:
    """The versions that the libraries themselves tell, by name; without those that are not there."""
    heif = pillow_heif.libheif_info()
    told = {
        "Pillow": pillow_version,
        "libjpeg-turbo": features.version("libjpeg_turbo"),
        "libwebp": features.version("webp"),
        "libtiff": features.version("libtiff"),
        "OpenJPEG": features.version("jpg_2000"),
        "libavif": features.version("avif"),
        "dav1d": _avif_decoder(),
        "Little CMS": features.version("littlecms2"),
        "pillow-heif": pillow_heif.__version__,
        "libheif": heif["libheif"],
        "libde265": heif["decoders"].get("libde265"),
    }
    found = {name: _NUMBER.search(version) for name, version in told.items() if version}
    return {name: number[0] for name, number in found.items() if number}


def _avif_decoder() -> str | None:
    """The version of dav1d, which Pillow tells in a private module alone."""
    try:
        from PIL import _avif

        told = _AVIF_DECODER.search(_avif.codec_versions())
    except (ImportError, AttributeError):
        return None
    return told[1] if told else None


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
