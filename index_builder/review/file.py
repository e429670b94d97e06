"""The decision file on disk: read whole and verified, grown whole or not at all.

A new file is written beside it and renamed over it, so a kill or a full disk at any point leaves the old file or the
new one. Two who decide at once wait for each other, and the second builds on what the first wrote. It says nothing
about what decisions mean.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashcheck_core.errors import ConfigError, DecisionError
from hashcheck_core.snapshot.files import read_limited, transport_error, write_atomically
from hashcheck_core.snapshot.signing import key_id, load_public
from index_builder.config.review import ReviewConfig
from index_builder.review.chain import Chain, PersonKey, read_chain
from index_builder.review.record import Decision, sign_decision

_MAX_BYTES: Final = 128 * 1024 * 1024  # a quarter of a million decisions
_MAX_KEY_BYTES: Final = 64 * 1024
# What the next decisions are, given all so far; their place in the chain is filled in.
Deciding = Callable[[Chain], Sequence[Decision]]


def read_decisions(review: ReviewConfig) -> Chain:
    """All decisions, verified; none where the file is not there. Raises DecisionError, ConfigError, TransportError."""
    people = public_keys(review)
    if not review.decisions.exists():
        return Chain()
    return read_chain(read_limited(review.decisions, _MAX_BYTES, follow_links=True), people)


def decide(review: ReviewConfig, key: Ed25519PrivateKey, deciding: Deciding) -> Chain:
    """Add the decisions that `deciding` makes, signed with `key`, to those on disk; all of them now.

    Whatever it raises, nothing is written.
    """
    path = review.decisions.resolve()  # a link stays one, and all who write it wait at one lock
    with _locked(path):
        chain = read_decisions(review)
        links = list(chain.links)
        for decision in deciding(chain):
            previous = links[-1].sha256 if links else ""
            placed = msgspec.structs.replace(decision, number=len(links) + 1, previous=previous)
            links.append(sign_decision(placed, key))
        data = Chain(tuple(links)).encode()
        grown = read_chain(data, public_keys(review))  # what a build would refuse is never written
        if len(data) > _MAX_BYTES:
            raise DecisionError(
                f"{review.decisions} would have more than {_MAX_BYTES} bytes.",
                next_step="Begin a new decision file, decide anew what still matters, and build with --new-decisions.",
            )
        if len(links) > len(chain.links):
            _replace(path, data)
        return grown


def public_keys(review: ReviewConfig) -> dict[str, list[PersonKey]]:
    """The keys of each person, by name; raises ConfigError where two are the same, TransportError where one is gone."""
    keys: dict[str, list[PersonKey]] = {}
    ids = set()
    for person in review.person:
        key = load_public(read_limited(person.key, _MAX_KEY_BYTES, follow_links=True))
        keys.setdefault(person.name, []).append(PersonKey(key, person.until))
        ids.add(key_id(key))
    if len(ids) != len(review.person):
        raise ConfigError(
            "Two people in [review] have the same key.", next_step="Give each person a key of their own."
        )
    return keys


def _replace(path: Path, data: bytes) -> None:
    for left in path.parent.iterdir():  # of one who was killed: nobody else is here
        if left.name.startswith(f".{path.name}.") and left.name.endswith(".tmp"):
            left.unlink(missing_ok=True)
    try:
        write_atomically(path, data, keep_owner=True)
    finally:
        path.with_name(f".{path.name}.{os.getpid()}.tmp").unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = path.with_name(f".{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except OSError as error:
        raise transport_error(lock, error, "opened") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
