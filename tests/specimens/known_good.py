"""Known-good sets with a trap each, in every format, and what is to come of them.

All hashes are digests of made-up words.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.specimens.feeds import md5

LARGE: Final = 65 * 1024 * 1024  # one megabyte more than a picture may have


@dataclass(frozen=True)
class KnownGoodSpecimen:
    """`make` writes it at a path. `hashes`: MD5s that are known then, or `error`, part of what is said instead."""

    format: str
    trap: str
    make: Callable[[Path], object]
    hashes: frozenset[str] = frozenset()
    error: str | None = None


def nsrl(path: Path, rows: Sequence[tuple[Any, Any]], table: str = "FILE") -> None:
    """An RDS v3 as far as it is looked at."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA page_size = 512")
    db.execute(f"CREATE TABLE {table} (sha1, md5, package_id INTEGER)")
    db.executemany(f"INSERT INTO {table} VALUES (?, ?, 1)", rows)
    db.commit()
    db.close()


def _sha1(number: int) -> str:
    return hashlib.sha1(f"specimen {number}".encode()).hexdigest().upper()


def _good(*numbers: int) -> frozenset[str]:
    return frozenset(md5(n) for n in numbers)


def _nsrl() -> Iterator[KnownGoodSpecimen]:
    def one(
        trap: str, rows: Sequence[tuple[Any, Any]], good: frozenset[str] = _good(1), **more: Any
    ) -> KnownGoodSpecimen:
        return KnownGoodSpecimen("nsrl", trap, lambda path: nsrl(path, rows), good, **more)

    first = (_sha1(1), md5(1).upper())
    yield one("plain", [first, (_sha1(2), md5(2))], _good(1, 2))
    yield one("row-twice", [first, first])
    yield one("bad-rows", [("", ""), (None, None), (7, 7), ("z" * 40, "z" * 32), first])
    yield one("ten-megabytes", [("0" * 10_000_000, "0" * 10_000_000), first])
    yield one("empty", [], error="has no hash")
    yield one("no-hash-in-it", [("x", "y")], error="has no hash")

    def odd_text(path: Path) -> None:
        nsrl(path, [first])
        db = sqlite3.connect(path)
        db.execute("INSERT INTO FILE VALUES (CAST(x'e9ff' AS TEXT), CAST(x'ff' AS TEXT), 1)")
        db.commit()
        db.close()

    def cut(path: Path) -> None:
        nsrl(path, [(_sha1(n), md5(n)) for n in range(500)])
        path.write_bytes(path.read_bytes()[:-9000])

    yield KnownGoodSpecimen("nsrl", "wrong-encoding", odd_text, _good(1))
    yield KnownGoodSpecimen("nsrl", "truncated", cut, error="not a whole NSRL")
    yield KnownGoodSpecimen("nsrl", "no-bytes", lambda path: path.write_bytes(b""), error="not a whole NSRL")
    yield KnownGoodSpecimen(
        "nsrl", "not-it", lambda path: path.write_bytes(b"PK\x03\x04" * 99), error="not a whole NSRL"
    )
    yield KnownGoodSpecimen("nsrl", "not-there", lambda path: None, error="not a whole NSRL")
    yield KnownGoodSpecimen(
        "nsrl", "another-table", lambda path: nsrl(path, [first], "FILES"), error="no such table"
    )


def _lines() -> Iterator[KnownGoodSpecimen]:
    def one(
        trap: str, data: bytes, good: frozenset[str] = _good(1), error: str | None = None
    ) -> KnownGoodSpecimen:
        return KnownGoodSpecimen("lines", trap, lambda path: path.write_bytes(data), good, error)

    line = f"md5 {md5(1)}\n".encode()
    yield one("plain", line + f"\n  md5\t{md5(2).upper()}\r\n".encode(), _good(1, 2))
    yield one("row-twice", line * 2)
    yield one("byte-order-mark", b"\xef\xbb\xbf" + line)
    yield one("truncated", line + line[:-9], error="line 2: ")
    yield one("wrong-encoding", line + b"md5 \xe9\n", error="line 2: It is not UTF-8")
    yield one("utf-16", line.decode().encode("utf-16"), error="line 1: It is not UTF-8")
    yield one("bad-rows", line + b"what\n", error="line 2: It is not `<type> <hash>`")
    yield one("type-nobody-knows", b"crc32 00000000\n", error="line 1: It is not `<type> <hash>`")
    yield one("ten-megabytes", line + b"0" * 10_000_000, error="line 2: It is not `<type> <hash>`")
    yield one("empty", b"\n\n", error="has no hash")
    yield one("no-bytes", b"", error="has no hash")
    yield one("not-it", b"<html>Sign in</html>\n", error="line 1: It is not")
    yield KnownGoodSpecimen("lines", "not-there", lambda path: None, error="could not be read")


def _pictures() -> Iterator[KnownGoodSpecimen]:
    def one(trap: str, files: dict[str, bytes], **more: Any) -> KnownGoodSpecimen:
        def make(path: Path) -> None:
            for name, data in files.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(data)

        known = frozenset(hashlib.md5(data).hexdigest() for data in files.values())
        return KnownGoodSpecimen("pictures", trap, make, known, **more)

    cut = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00"
    yield one("truncated", {"a.png": cut, "deep/er/b.png": cut + b"x"})
    yield one("not-it", {"a.css": b"body{}", "b.jpg": b"<html>Sign in</html>"})
    yield one("row-twice", {"a": b"same", "b": b"same"})
    yield one("no-bytes", {"a": b""})
    bomb = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x01\x00\x00\x00\x01\x00\x00\x08\x02\x00\x00\x00" + bytes(
        40
    )
    yield one("bomb", {"a.png": bomb})
    yield KnownGoodSpecimen("pictures", "empty", lambda path: path.mkdir(), error="holds no pictures")
    yield KnownGoodSpecimen("pictures", "not-there", lambda path: None, error="holds no pictures")

    def large(path: Path) -> None:
        path.mkdir()
        with (path / "a.zip").open("wb") as file:
            file.truncate(LARGE)

    zeros = hashlib.md5()
    for _ in range(65):
        zeros.update(bytes(1024 * 1024))
    yield KnownGoodSpecimen("pictures", "too-large-for-a-picture", large, frozenset({zeros.hexdigest()}))


def known_good_specimens() -> list[KnownGoodSpecimen]:
    return [*_nsrl(), *_lines(), *_pictures()]
