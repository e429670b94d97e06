"""POST /v1/check/{md5|sha1|sha256} and /v1/test/check/...: the contract of the Dutch HashCheckService.

The body is one bare hex hash, the answer the text `true` or `false`; nothing else is ever answered with 200.
What has no honest answer in one bit (a hash that is none, a type nobody lists) is a problem document: its
known clients treat anything but `true` and `false` as a fault.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from hashcheck_core.hash_types import BUILT_IN_TYPES
from hashcheck_service.admission.key_file import KeyScope
from hashcheck_service.checking.hashes import Batch, decode_hex, read_batch
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.checking.schema import HashIn, ResultOut
from hashcheck_service.policy import Verdict
from hashcheck_service.problems import Problem, unavailable
from hashcheck_service.service import Service
from hashcheck_service.web.context import Context
from hashcheck_service.web.question import Endpoint, Question

TYPES: Final = ("md5", "sha1", "sha256")
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")


def hashcheck_endpoints(service: Service) -> Mapping[str, Endpoint]:
    """Each endpoint by its path; on the test twins only the reserved test hashes are listed."""
    return {
        f"/v1{prefix}/check/{name}": _OneHash(service, name, test=bool(prefix))
        for prefix in ("", "/test")
        for name in TYPES
    }


class _OneHash:
    scope = KeyScope.CHECK
    basic = True
    max_body = 1024  # a sha256 has 64 digits; the rest is room to say what is wrong

    def __init__(self, service: Service, hash_type: str, *, test: bool) -> None:
        self._service = service
        self._policy = service.test_policy if test else service.policy
        self._type = hash_type
        self._test = test

    def question(self, context: Context, content_type: bytes, body: bytes) -> Question:
        snapshot = self._service.usable(context.snapshot)
        given = HashIn(self._type, body.decode("latin-1"))
        batch = read_batch(snapshot.tables, [""], [[given]], decode_hex)
        return Question(snapshot, self._policy, batch, 1, _TEXT, partial(self._answer, batch))

    def _answer(self, batch: Batch, results: Mapping[int, ResultOut]) -> bytes:
        if not results:
            return b"false"
        if results[0].verdict == Verdict.MATCH:
            return b"true"
        _only_unlisted_is_false(batch, results[0].reasons, self._type, test=self._test)
        return b"false"


def _only_unlisted_is_false(batch: Batch, reasons: Sequence[str], hash_type: str, *, test: bool) -> None:
    """Raise the problem for a hash that was not checked; that nothing is listed is no wonder on a test twin."""
    if Reason.UNSUPPORTED_TYPE in reasons:  # the list has no table of it, not even the reserved hashes
        raise unavailable(Reason.TYPE_NOT_LISTED, f"The list in force holds no {hash_type} hashes.", 3600)
    if not batch.asked:
        digits = BUILT_IN_TYPES[hash_type].bits // 4
        raise Problem(400, Reason.MALFORMED_HASH, f"The body is one {hash_type} hash: {digits} hex digits.")
    if Reason.STALE_SNAPSHOT in reasons:
        # Not on the old list: that is not `false`, and there is no third word.
        raise unavailable(Reason.STALE_SNAPSHOT, "The list in force is past its time and has no match.")
    if Reason.TYPE_NOT_LISTED in reasons and not test:
        raise unavailable(Reason.TYPE_NOT_LISTED, f"The list in force holds no {hash_type} hashes.", 3600)
