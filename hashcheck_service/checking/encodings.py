"""The forms a check may come in, and its answer goes out in: JSON and MessagePack. Bytes in, structs out; structs in,
bytes out.

An answer is mostly `no_match` after `no_match`, equal but for the ref, so that part is encoded once and joined
around the refs. It decides nothing.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from hashcheck_core.snapshot.snapshot import Snapshot
from hashcheck_service.checking.hashes import Batch, Decode, decode_hex, decode_raw, read_batch
from hashcheck_service.checking.plain_batches import PlainRefs, read_plain, write_plain
from hashcheck_service.checking.schema import (
    CheckRequest,
    ItemIn,
    PackedCheckRequest,
    PackedItemIn,
    ResultOut,
    SnapshotRef,
)
from hashcheck_service.policy import Action, Verdict
from hashcheck_service.problems import Problem
from hashcheck_service.settings import Limits

# A shorter body, of some four items, is read sooner the usual way.
_SHORT_BYTES: Final = 600
Request = CheckRequest | PackedCheckRequest
_NO_MATCH: Final = ResultOut("", Verdict.NO_MATCH, Action.ALLOW, [], [], more_matches=False)


class _Answer(msgspec.Struct, frozen=True, gc=False):
    """CheckResponse, with what is encoded already."""

    request_id: str
    snapshot: msgspec.Raw
    results: msgspec.Raw


class Form:
    """One encoding of requests and answers."""

    def __init__(
        self,
        name: str,
        media_type: str,
        decoder: Any,
        encode: Callable[[Any], bytes],
        decode: Decode,
        *,
        colon: bytes,
        comma: bytes,
        brackets: Callable[[int], tuple[bytes, bytes]],
    ) -> None:
        """`brackets`: what stands around an array of so many."""
        self.name = name
        self.media_type = media_type
        self.header = (b"content-type", media_type.encode())
        self._decoder = decoder
        self._encode = encode
        self._decode = decode
        self._comma = comma
        self._brackets = brackets
        before, self._tail = encode(_NO_MATCH).split(encode("ref") + colon + encode(""))
        self._head = before + encode("ref") + colon
        self._between = self._tail + comma + self._head
        self._last: tuple[Callable[[], Snapshot | None], msgspec.Raw] = (lambda: None, msgspec.Raw())

    def read(self, body: bytes, limits: Limits) -> tuple[Request, int]:
        """The request in `body`, and how many hashes it has; raises Problem 400 where it cannot be decoded, 422 where
        it is not a check."""
        try:
            asked: Request = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            # msgspec's sentences name our fields and types; the one thing they quote is an unknown field's name.
            text = str(error)
            unknown = text.startswith("Object contains unknown field")
            raise _invalid("An object has a field that is not of this API" if unknown else text) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise Problem(400, f"malformed_{self.name.lower()}", f"The body is not {self.name}.") from None
        items = asked.items
        if not 1 <= len(items) <= limits.max_items:
            raise _invalid(f"`items` has 1 to {limits.max_items} items, not {len(items)}")
        most, longest, total = limits.max_hashes_per_item, limits.max_ref_chars, 0
        for item in items:
            count = len(item.hashes)
            if not 1 <= count <= most:
                raise _invalid(f"`hashes` has 1 to {most} hashes")
            if len(item.ref) > longest:
                raise _invalid(f"`ref` has at most {longest} characters")
            total += count
        return asked, total

    def batch(self, snapshot: Snapshot, body: bytes, limits: Limits) -> tuple[Batch, int]:
        """The batch in `body`, and how many hashes it has; raises as `read` does."""
        if len(body) > _SHORT_BYTES and (plain := self.plain(snapshot, body, limits)) is not None:
            return plain
        asked, hashes = self.read(body, limits)
        return self.of_items(snapshot, asked.items), hashes

    def plain(self, snapshot: Snapshot, body: bytes, limits: Limits) -> tuple[Batch, int] | None:
        """The same the short way, which holds no lock; None where the batch is not plain."""
        return read_plain(
            body,
            self.name.lower(),
            snapshot.tables,
            limits.max_items,
            limits.max_hashes_per_item,
            limits.max_ref_chars,
        )

    def of_items(self, snapshot: Snapshot, items: Sequence[ItemIn | PackedItemIn]) -> Batch:
        return read_batch(
            snapshot.tables, [item.ref for item in items], [item.hashes for item in items], self._decode
        )

    def answer(
        self, request_id: str, snapshot: Snapshot, refs: Sequence[str], results: Mapping[int, ResultOut]
    ) -> bytes:
        """CheckResponse in bytes: `results` by place, and `no_match` for every other of `refs`."""
        coded = msgspec.Raw(self.results(refs, results))
        return self._encode(_Answer(request_id, self._snapshot(snapshot), coded))

    def results(self, refs: Sequence[str], results: Mapping[int, ResultOut]) -> bytes:
        encode = self._encode
        first, last = self._brackets(len(refs))
        if not results and isinstance(refs, PlainRefs):
            return b"".join((first, write_plain(refs, self._comma, self._head, self._tail), last))
        if not results:
            body = self._between.join(map(encode, refs))
            return b"".join((first, self._head, body, self._tail, last))
        coded = [
            encode(results[place]) if place in results else self._head + encode(ref) + self._tail
            for place, ref in enumerate(refs)
        ]
        return b"".join((first, self._comma.join(coded), last))

    def _snapshot(self, snapshot: Snapshot) -> msgspec.Raw:
        """Its SnapshotRef, encoded once; the snapshot itself is not to be kept alive by it."""
        known, coded = self._last
        if known() is not snapshot:
            coded = msgspec.Raw(self._encode(msgspec.to_builtins(snapshot_ref(snapshot))))
            self._last = (weakref.ref(snapshot), coded)
        return coded


def snapshot_ref(snapshot: Snapshot) -> SnapshotRef:
    return SnapshotRef(
        snapshot.id, snapshot.version, snapshot.built_at, snapshot.expires_at, snapshot.overlay
    )


def _invalid(detail: str) -> Problem:
    return Problem(422, "invalid_request", f"{detail}.")


def _array(count: int) -> tuple[bytes, bytes]:
    """The head of a MessagePack array of so many, and nothing behind it."""
    if count < 16:
        return bytes([0x90 | count]), b""
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2), b""
    return b"\xdd" + count.to_bytes(4), b""


JSON: Final = Form(
    "JSON",
    "application/json",
    msgspec.json.Decoder(CheckRequest),
    msgspec.json.Encoder().encode,
    decode_hex,
    colon=b":",
    comma=b",",
    brackets=lambda _: (b"[", b"]"),
)
MSGPACK: Final = Form(
    "MsgPack",
    "application/msgpack",
    msgspec.msgpack.Decoder(PackedCheckRequest),
    msgspec.msgpack.Encoder().encode,
    decode_raw,
    colon=b"",
    comma=b"",
    brackets=_array,
)
FORMS: Final = {form.media_type.encode(): form for form in (JSON, MSGPACK)}


def form_of(content_type: bytes) -> Form:
    """The form a content type names, JSON where there is none; raises Problem 415."""
    form = FORMS.get(content_type) or FORMS.get(content_type.partition(b";")[0].strip().lower())
    if form is None:
        if not content_type:
            return JSON
        kinds = " or ".join(form.media_type for form in FORMS.values())
        raise Problem(415, "unsupported_media_type", f"Send the check as {kinds}.")
    return form
