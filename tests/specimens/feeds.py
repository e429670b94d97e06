"""Feeds with a trap each, in every format, and what is to come of them. Run it to write them to a folder.

All hashes are digests of made-up words.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

MB10 = 10_000_000
NCMEC_NS = "https://hashsharing.ncmec.org/hashsharing/v2"
VICS_CONTEXT = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#"


class Row(NamedTuple):
    """What one row of a specimen says; `code` is A for listed."""

    number: int
    md5: str
    code: str = "A"
    year: int = 2025
    deleted: bool = False


@dataclass(frozen=True)
class Specimen:
    """`good`: the MD5s that are listed in the end. `error`: part of the sentence where the file is refused."""

    format: str
    trap: str
    pages: tuple[bytes, ...]
    good: frozenset[str] = frozenset()
    rejects: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None


def md5(number: int) -> str:
    return hashlib.md5(f"specimen {number}".encode()).hexdigest()


def rows(count: int) -> list[Row]:
    return [Row(i, md5(i)) for i in range(count)]


def _csv(given: Sequence[Row]) -> bytes:
    lines = ["id,type,value,quality,category", *(f"e{r.number},md5,{r.md5},,{r.code}" for r in given)]
    return "\n".join(lines).encode() + b"\n"


def _jsonl(given: Sequence[Row]) -> bytes:
    return "".join(
        json.dumps({"id": f"e{r.number}", "type": "md5", "value": r.md5, "category": r.code}) + "\n"
        for r in given
    ).encode()


def _lines(given: Sequence[Row]) -> bytes:
    return "".join(f"md5 {r.md5}\n" for r in given).encode()


def vics_media(r: Row, **more: object) -> dict[str, object]:
    number = {"A": 1, "B": 2}.get(r.code)
    date = f"{r.year}-01-01T00:00:00Z"
    return {"MediaID": r.number, "Category": number, "MD5": r.md5.upper(), "DateUpdated": date, **more}


def vics(media: Sequence[Mapping[str, object]], kind: str = "Media") -> bytes:
    return json.dumps({"@odata.context": VICS_CONTEXT + kind, "value": media}).encode()


def icse_line(r: Row, **more: str) -> list[str]:
    flag = more.get("flag", "y" if r.code == "A" else "n")
    return [r.md5, "", "", f"i{r.number}", "y", "n", "n", "", "1", "n", "Image", flag]


def icse(lines: Sequence[Sequence[str]]) -> bytes:
    header = "MD5;SHA1;PhotoDNA;Image ID;Is distributed;Victim identified;Offender identified;"
    header += "Series name;Number of submissions;File Available;Media Type;Baseline"
    return "\r\n".join([header, *(";".join(line) for line in lines), ""]).encode()


def scart_line(value: str, kind: str = "imageurl", grade: str = "illegal") -> str:
    return f'"1";"{value}";"{kind}";"{grade}"'


def scart(lines: Sequence[str]) -> bytes:
    return "\n".join(['"filenumber";"url_hash";"url_type";"grade_code"', *lines, ""]).encode()


def ncmec_entry(r: Row, inner: str = "") -> str:
    head = f'<member id="42">Name</member><timestamp>{r.year}-01-01T00:00:00Z</timestamp><id>image{r.number}</id>'
    if r.deleted:
        return f"<deletedImage>{head}</deletedImage>"
    code = f"<classification>{r.code}</classification>" if r.code else ""
    return f"<image>{head}{code}<fingerprints><md5>{r.md5}</md5></fingerprints>{inner}</image>"


def ncmec(entries: Sequence[str], head: str = "") -> bytes:
    page = f'<?xml version="1.0" encoding="UTF-8"?>{head}<queryResult xmlns="{NCMEC_NS}"><images count="1">'
    return f"{page}{''.join(entries)}</images><paging/></queryResult>".encode()


def _stopncii(given: Sequence[Row]) -> bytes:
    records = [
        {
            "lastModtimestamp": f"{r.year}-01-01T00:00:00Z",
            "signalType": "VideoMD5",
            "hashValue": r.md5,
            "hashStatus": "Active",
            "caseNumbers": {
                "1": "Withdrawn" if r.deleted else "Active",
                "2": "Deleted" if r.deleted else "Active",
            },
            "CSPFeedbacks": [],
        }
        for r in given
    ]
    return json.dumps({"count": len(records), "hasMoreRecords": False, "hashRecords": records}).encode()


def _tat(given: Sequence[Row]) -> bytes:
    results = [
        {
            "id": r.number + 1,
            "hash_digest": r.md5,
            "algorithm": "MD5",
            "ideology": r.code,
            "deleted": r.deleted,
            "updated_on": f"{r.year}-01-01T00:00:00.000Z",
        }
        for r in given
    ]
    return json.dumps({"count": len(results), "next": None, "results": results}).encode()


def threat(r: Row, *descriptors: Mapping[str, object]) -> dict[str, object]:
    seconds = (r.year - 1970) * 31_556_952
    told = descriptors or ({"id": "d1", "owner": {"id": "o1"}, "status": "MALICIOUS", "tags": [r.code]},)
    return {
        "id": str(r.number + 1),
        "indicator": r.md5,
        "type": "HASH_MD5",
        "last_updated": seconds,
        "should_delete": r.deleted,
        "descriptors": {"data": list(told)},
    }


def threats(updates: Sequence[Mapping[str, object]]) -> bytes:
    return json.dumps({"data": updates, "paging": {"next": "https://example.org/"}}).encode()


MAKERS: Mapping[str, Callable[[Sequence[Row]], bytes]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "lines": _lines,
    "vics": lambda given: vics([vics_media(r) for r in given]),
    "icse": lambda given: icse([icse_line(r) for r in given]),
    "scart": lambda given: scart([scart_line(f"{r.md5}{r.number + 1:016d}") for r in given]),
    "ncmec": lambda given: ncmec([ncmec_entry(r) for r in given]),
    "stopncii": _stopncii,
    "tat": _tat,
    "threatexchange": lambda given: threats([threat(r) for r in given]),
}
DELTA = ("ncmec", "stopncii", "tat", "threatexchange")
# What the refusal of a file says that has not the head of its format.
HEADED: Mapping[str, str] = {
    **dict.fromkeys(("csv", "icse", "scart"), "header"),
    "vics": "context",
    "ncmec": "not a page",
}
# The feeds' own words for A, in a config.
MEANING: Mapping[str, Mapping[str, object]] = {
    "lines": {"category": "baseline"},
    "scart": {"category": "baseline"},
    "stopncii": {"category": "baseline"},
    "vics": {"categories": {"1": "baseline", "2": "national"}, "profile": "2.0/US"},
    "icse": {"categories": {"y": "baseline", "n": "unknown"}},
}
COLUMN: Mapping[str, object] = {"categories": {"A": "baseline", "B": "national"}}


def _good(numbers: Sequence[int]) -> frozenset[str]:
    return frozenset(md5(i) for i in numbers)


def _common(kind: str, make: Callable[[Sequence[Row]], bytes]) -> Iterator[Specimen]:
    six = rows(6)
    whole = make(six)
    own = {r.number: md5(r.number).encode() for r in six}
    if kind == "vics":
        own = {number: value.upper() for number, value in own.items()}
    structured = kind in ("vics", *DELTA)
    yield Specimen(kind, "plain", (whole,), _good(range(6)))
    cut = whole[: whole.index(own[5]) + 10]
    reason = "truncated" if structured else "malformed_hash" if kind == "lines" else "malformed_row"
    yield Specimen(kind, "truncated", (cut,), _good(range(5)), {reason: 1})
    yield Specimen(
        kind,
        "wrong-encoding",
        (whole.replace(own[3], b"\xe9" + own[3][1:]),),
        _good((0, 1, 2, 4, 5)),
        {"not_utf8": 1},
    )
    yield Specimen(
        kind,
        "ten-megabytes",
        (whole.replace(own[3], b"0" * MB10),),
        _good((0, 1, 2, 4, 5)),
        {"line_too_long": 1},
    )
    many = make([r if r.number != 1500 else r._replace(md5="zz" + r.md5[2:]) for r in rows(2000)])
    expected = {"not_for_lists" if kind == "scart" else "malformed_hash": 1}
    yield Specimen(kind, "one-bad-of-many", (many,), _good([i for i in range(2000) if i != 1500]), expected)
    yield Specimen(kind, "empty", (make([]),))
    if kind in HEADED:
        yield Specimen(kind, "no-bytes", (b"",), error=HEADED[kind])
    else:
        yield Specimen(
            kind, "no-bytes", (b"",), rejects={} if kind in ("jsonl", "lines") else {"truncated": 2}
        )
    yield Specimen(kind, "byte-order-mark", (b"\xef\xbb\xbf" + whole,), _good(range(6)))
    yield Specimen(kind, "row-twice", (make([*six, *six]),), _good(range(6)))
    yield Specimen(
        kind, "windows-line-ends", (whole.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),), _good(range(6))
    )
    if not structured:
        if kind == "jsonl":
            expected = {"malformed_row": 1}
        yield Specimen(
            kind,
            "nul-in-a-row",
            (whole.replace(own[3], b"\0" + own[3][1:]),),
            _good((0, 1, 2, 4, 5)),
            expected,
        )
        if kind in HEADED:
            yield Specimen(kind, "utf-16", (whole.decode().encode("utf-16"),), error=HEADED[kind])
            yield Specimen(kind, "not-it", (b"<html>Sign in</html>",), error=HEADED[kind])
        else:
            lines = whole.count(b"\n")
            odd = {"not_utf8": 1, "malformed_row": lines}
            if kind == "lines":  # a NUL is no space: each row is some word of an unknown type
                odd = {"not_utf8": 1, "malformed_row": 1, "unsupported_type": lines - 1}
            yield Specimen(kind, "utf-16", (whole.decode().encode("utf-16"),), rejects=odd)
            sign_in = "unsupported_type" if kind == "lines" else "malformed_row"
            yield Specimen(kind, "not-it", (b"<html>Sign in</html>",), rejects={sign_in: 1})
    if kind not in ("lines", "scart", "stopncii"):
        reasons = {"category_not_wanted": 1} if kind == "icse" else {"category_conflict": 1}
        twice = make([*six, six[3]._replace(code="B")])
        yield Specimen(kind, "two-categories", (twice,), _good(range(6)), reasons)
    if structured:
        yield Specimen(kind, "utf-16", (whole.decode().encode("utf-16"),), error="UTF-16")
        ahead = {"clock_ahead": 1} if kind in DELTA else {}
        future = make([six[0]._replace(year=2090), *six[1:]])
        yield Specimen(kind, "future-clock", (future,), _good(range(6)), notes=ahead)
        page = b"<html>Sign in</html>"
        if kind in ("vics", "ncmec"):
            yield Specimen(
                kind, "not-it", (page,), error="does not begin" if kind == "vics" else "not a page"
            )
        else:
            yield Specimen(kind, "not-it", (page,), rejects={"truncated": 2})


def _deltas(kind: str, make: Callable[[Sequence[Row]], bytes]) -> Iterator[Specimen]:
    six = rows(6)
    gone = six[2]._replace(deleted=True, year=2026)
    yield Specimen(kind, "page-twice", (make(six), make(six)), _good(range(6)))
    yield Specimen(
        kind, "tombstone-unseen", (make([*six[:2], gone]),), _good((0, 1)), notes={"tombstone_unseen": 1}
    )
    yield Specimen(kind, "tombstone", (make(six), make([gone])), _good((0, 1, 3, 4, 5)))
    yield Specimen(
        kind,
        "tombstone-first",
        (make([gone]), make(six)),
        _good((0, 1, 3, 4, 5)),
        notes={"tombstone_unseen": 1},
    )
    if kind != "stopncii":
        moved = make([six[3]._replace(code="B")])
        yield Specimen(
            kind,
            "two-categories-at-once",
            (whole := make(six), moved),
            _good(range(6)),
            {"category_conflict": 1},
        )
        yield Specimen(
            kind, "recategorised", (whole, make([six[3]._replace(code="B", year=2026)])), _good(range(6))
        )
    ahead = gone._replace(year=2090)
    corrected = make([six[2]._replace(year=2091)])
    yield Specimen(kind, "tombstone-of-the-future", (make(six), make([ahead])), _good((0, 1, 3, 4, 5)),
                   notes={"clock_ahead": 1})  # fmt: skip
    yield Specimen(kind, "future-taken-back", (make(six), corrected, make([ahead])), _good((0, 1, 3, 4, 5)),
                   notes={"clock_ahead": 2})  # fmt: skip
    yield Specimen(
        kind, "suddenly-empty", (make(six), make([])), _good(range(6))
    )  # nothing new is no taking back
    yield Specimen(kind, "one-page-cut", (make(six[:3]), make(six[3:])[:-60], make(six[:1])), _good(range(5)),
                   {"truncated": 1})  # fmt: skip
    back = six[2]._replace(year=2027)
    yield Specimen(kind, "listed-again", (make([back]), make([gone]), make(six)), _good(range(6)))


def _own() -> Iterator[Specimen]:
    """The traps that one format has."""
    one, two, three = rows(3)
    dna = "QUJD" * 48
    yield Specimen(
        "vics",
        "three-dates-and-string-booleans",
        (
            vics(
                [
                    vics_media(one, DateUpdated="/Date(1735689600000)/", VictimIdentified="true"),
                    vics_media(two, DateUpdated="2025-01-01T00:00:00+01:00", VictimIdentified=True),
                    vics_media(three, DateUpdated="2025-01-01T00:00:00"),
                ]
            ),
        ),
        _good(range(3)),
    )
    other = [{"HashName": "PhotoDNA", "HashValue": dna}]
    yield Specimen(
        "vics",
        "photodna-in-two-places",
        (vics([vics_media(one, PhotoDNA=dna), vics_media(two, PhotoDNA=dna, AlternativeHashes=other)]),),
        _good((0, 1)),
        {"unsupported_type": 2},
    )
    yield Specimen("vics", "case-file", (vics([{"CaseID": 1, "Media": []}], "Cases"),), error="case file")
    yield Specimen("vics", "case-in-a-set", (vics([{"CaseID": 1, "Media": []}]),), error="case file")
    another = vics([vics_media(one)]).replace(b"/US/", b"/UK/")
    yield Specimen("vics", "another-country", (another,), error="VICS 2.0/UK")
    older = json.dumps(
        {
            "odata.metadata": "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Media",
            "value": [vics_media(one)],
        }
    ).encode()
    yield Specimen("vics", "another-version", (older,), error="VICS 1.3")
    bare = [
        vics_media(one, Category=None, IsPrecategorized=True),
        vics_media(two, MD5=None),
        vics_media(three),
    ]
    yield Specimen(
        "vics", "no-category", (vics(bare),), _good([2]), {"unmapped_category": 1, "malformed_id": 1}
    )
    yield Specimen("vics", "row-is-no-object", (vics([vics_media(one)]).replace(b"[{", b'["x", 1, {'),), _good([0]),
                   {"malformed_row": 2})  # fmt: skip
    deep = vics([vics_media(one), vics_media(two)]).replace(b'"MediaID": 1', b'"x": ' + b"[" * 99 + b"]" * 99)
    yield Specimen("vics", "too-deep", (deep,), _good([0]), {"line_too_long": 1})
    yield Specimen("vics", "nesting-bomb", (b'{"a": ' + b"[" * 200_000,), error="context")
    ragged = [icse_line(one), [*icse_line(two), "", ""], icse_line(three)[:-1], [*icse_line(three), "y"]]
    yield Specimen("icse", "ragged", (icse(ragged),), _good((0, 1)), {"malformed_row": 2})
    flags = [icse_line(one, flag="Yes"), icse_line(two, flag="f"), icse_line(three, flag="perhaps")]
    yield Specimen(
        "icse", "flags", (icse(flags),), _good([0]), {"category_not_wanted": 1, "unmapped_category": 1}
    )
    yield Specimen("icse", "another-header", (b"MD5;SHA1\nx;y\n",), error="header")
    mixed = [
        scart_line(f"{one.md5}{77:016d}"),
        scart_line("anonymouse-17"),
        scart_line(f"{two.md5}{77:016d}", "screenshot"),
        scart_line(f"{two.md5}{77:016d}", grade="not_illegal"),
        scart_line(f"{three.md5}{0:016d}"),
    ]
    yield Specimen(
        "scart", "retention-and-grades", (scart(mixed),), _good([0]), {"not_for_lists": 3, "empty_file": 1}
    )
    yield Specimen("scart", "another-header", (b'"url";"x"\n',), error="header")
    bomb = '<!DOCTYPE q [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    yield Specimen("ncmec", "entity-bomb", (ncmec([ncmec_entry(one)], bomb),), error="document type")
    outside = '<!DOCTYPE q SYSTEM "file:///etc/passwd">'
    yield Specimen("ncmec", "document-type", (ncmec([ncmec_entry(one)], outside),), error="document type")
    yield Specimen("ncmec", "too-deep", (ncmec(["<a>" * 100]),), error="nests deeper")
    href = ncmec_entry(two).replace(f"<md5>{two.md5}</md5>", '<tmk-pdqf rel="self" href="/v2/x"/>')
    yield Specimen(
        "ncmec", "by-address-only", (ncmec([ncmec_entry(one), href]),), _good([0]), {"not_for_lists": 1}
    )
    unclassified = ncmec_entry(two._replace(code=""))
    yield Specimen(
        "ncmec",
        "unclassified",
        (ncmec([ncmec_entry(one), unclassified]),),
        _good([0]),
        {"unmapped_category": 1},
    )
    alone = {name: value for name, value in threat(two).items() if name != "descriptors"}
    fraction = _tat([one, two]).replace(b'"2025-01-01T00:00:00.000Z"', b"1735689600.709035")
    gone = _tat([one._replace(deleted=True, year=2024)])
    yield Specimen("tat", "seconds-with-a-fraction", (fraction, gone), _good([0, 1]))
    yield Specimen(
        "threatexchange", "nobody-vouches", (threats([threat(one), threat(two), alone]),), _good([0])
    )
    told = {"id": "d1", "owner": {"id": "o1"}, "status": "MALICIOUS", "tags": {"data": [{"text": "A"}]}}
    yield Specimen("threatexchange", "tags-as-objects", (threats([threat(one, told)]),), _good([0]))
    yield Specimen("threatexchange", "no-hash", (threats([threat(one), {**threat(two), "type": "URI"}]),), _good([0]),
                   {"not_for_lists": 1})  # fmt: skip


def _zero(kind: str) -> Iterator[Specimen]:
    """Hashes that say nothing: python-threatexchange once stumbled over a cut PDQ of zeros."""
    one, two = rows(2)
    values = (("pdq", "0" * 64), ("pdq", "0" * 32), ("md5", hashlib.md5(b"").hexdigest()))
    if kind == "csv":
        rows_ = [f"z{i},{name},{value},,A" for i, (name, value) in enumerate(values)]
        page = _csv([one]) + "\n".join(rows_).encode() + b"\n"
    elif kind == "jsonl":
        page = _jsonl([one]) + b"".join(
            json.dumps({"id": f"z{i}", "type": name, "value": value, "category": "A"}).encode() + b"\n"
            for i, (name, value) in enumerate(values)
        )
    elif kind == "lines":
        page = _lines([one]) + "".join(f"{name} {value}\n" for name, value in values).encode()
    else:
        page = threats(
            [threat(one)]
            + [
                {**threat(two._replace(number=9 + i)), "type": f"HASH_{name.upper()}", "indicator": value}
                for i, (name, value) in enumerate(values)
            ]
        )
    yield Specimen(
        kind,
        "hashes-of-nothing",
        (page,),
        _good([0]),
        {"degenerate": 1, "malformed_hash": 1, "empty_file": 1},
    )


def _of_deltas() -> Iterator[Specimen]:
    """The traps of one delta format."""
    one, two, three = rows(3)
    videos = ncmec([ncmec_entry(one)]).replace(
        b"</images>", b"</images><videos>" + ncmec_entry(two).replace("image>", "video>").encode()
        + ncmec_entry(three._replace(deleted=True)).replace("Image>", "Video>").encode() + b"</videos>",
    )  # fmt: skip
    yield Specimen("ncmec", "videos", (videos,), _good((0, 1)), notes={"tombstone_unseen": 1})
    other = ncmec_entry(two).replace("image1", "image0").replace('id="42"', 'id="43"')
    yield Specimen("ncmec", "one-id-two-members", (ncmec([ncmec_entry(one), other]),), _good((0, 1)))
    gone = ncmec_entry(one._replace(deleted=True, year=2026)).replace('id="42"', 'id="43"')
    yield Specimen("ncmec", "tombstone-of-another-member", (ncmec([ncmec_entry(one), gone]),), _good([0]),
                   notes={"tombstone_unseen": 1})  # fmt: skip
    dna = ncmec_entry(one).replace("</md5>", f"</md5><pdna>{'QUJD' * 48}</pdna>")
    yield Specimen("ncmec", "photodna", (ncmec([dna]),), _good([0]), {"unsupported_type": 1})
    second = [ncmec_entry(r).replace("01-01T00:00:00Z", "06-01T12:00:00Z") for r in rows(1500)]
    yield Specimen("ncmec", "thousands-in-one-second", (ncmec(second),), _good(range(1500)))
    elsewhere = ncmec([ncmec_entry(one)]).replace(NCMEC_NS.encode(), b"https://example.org/other")
    yield Specimen("ncmec", "another-namespace", (elsewhere,), error="not a page")
    partly = _stopncii([one, two]).replace(b'"1": "Active"', b'"1": "Withdrawn"')
    yield Specimen("stopncii", "withdrawn-in-part", (partly,), _good((0, 1)))
    tmk = _stopncii([one, two]).replace(b"VideoMD5", b"VideoTMK", 1)
    yield Specimen("stopncii", "hash-of-another-kind", (tmk,), _good([1]), {"unsupported_type": 1})
    bare = _stopncii([one, two]).replace(b'"hashValue": "' + one.md5.encode() + b'"', b'"hashValue": null')
    yield Specimen("stopncii", "no-value", (bare,), _good([1]), {"malformed_row": 1})
    word = _tat([one, two._replace(deleted=True)]).replace(b'"deleted": true', b'"deleted": "true"')
    yield Specimen("tat", "deleted-in-words", (_tat([two]), word), _good([0]))
    null = _tat([one, two]).replace(b'"id": 2', b'"id": null')
    yield Specimen("tat", "no-id", (null,), _good([0]), {"malformed_id": 1})
    odd = {**threat(two), "descriptors": "none", "last_updated": "soon"}
    yield Specimen(
        "threatexchange",
        "no-descriptors",
        (threats([threat(one), odd]),),
        _good([0]),
        {"unmapped_category": 1},
    )
    deep = threats([threat(one), {**threat(two), "x": json.loads("[" * 30 + "]" * 30)}, threat(three)])
    yield Specimen("threatexchange", "too-deep", (deep,), _good((0, 2)), {"line_too_long": 1})
    for kind in ("stopncii", "tat", "threatexchange"):
        yield Specimen(kind, "nesting-bomb", (b'{"a": ' + b"[" * 200_000,), rejects={"truncated": 2})


def _of_sets() -> Iterator[Specimen]:
    """The traps of one full format, besides those of `_own`."""
    one, two, three = rows(3)
    again = vics([vics_media(one), vics_media(one._replace(number=8)), vics_media(two, Category="1")])
    yield Specimen("vics", "one-md5-many-media", (again,), _good((0, 1)))
    yield Specimen("vics", "a-bad-sha1", (vics([vics_media(one, SHA1="x" * 40), vics_media(two)]),), _good((0, 1)),
                   {"malformed_hash": 1})  # fmt: skip
    hexdna, basedna = ["", *icse_line(one)[1:]], icse_line(two)
    hexdna[2], basedna[2] = "ab" * 144, "QUJD" * 48
    yield Specimen(
        "icse", "photodna-in-two-forms", (icse([hexdna, basedna]),), _good([1]), {"unsupported_type": 2}
    )
    line = icse_line(three)
    line[7] = '"Series; with a semicolon"'
    yield Specimen("icse", "semicolon-in-quotes", (icse([line, icse_line(one)]),), _good((0, 2)))
    stray = _csv([one]) + f'"e1,md5,{two.md5},,A\n'.encode() + f"e2,md5,{three.md5},,A\n".encode()
    yield Specimen("csv", "one-stray-quote", (stray,), _good((0, 2)), {"malformed_row": 1})
    wide = _csv([one, two]).replace(b",,A", b",,A,x", 1)
    yield Specimen("csv", "ragged", (wide,), _good([1]), {"malformed_row": 1})
    loud = _jsonl([one]) + b"[" * 20_000 + b"\n" + b'{"id": 7}\n' + b"null\n" + _jsonl([two])
    yield Specimen("jsonl", "not-an-object", (loud,), _good((0, 1)), {"malformed_row": 3})
    words = (
        _lines([one]) + f"{two.md5}\nmd5 {two.md5} x\n\n".encode() + f"md5\t{three.md5.upper()}\n".encode()
    )
    yield Specimen("lines", "words-missing-or-too-many", (words,), _good((0, 2)), {"malformed_row": 2})


def specimens() -> list[Specimen]:
    found = [specimen for kind, make in MAKERS.items() for specimen in _common(kind, make)]
    found += [specimen for kind in DELTA for specimen in _deltas(kind, MAKERS[kind])]
    found += [specimen for kind in ("csv", "jsonl", "lines", "threatexchange") for specimen in _zero(kind)]
    return [*found, *_own(), *_of_deltas(), *_of_sets()]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for specimen in specimens():
        for number, page in enumerate(specimen.pages):
            (folder / f"{specimen.format}-{specimen.trap}-{number}").write_bytes(page)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
