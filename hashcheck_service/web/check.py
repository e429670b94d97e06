"""POST /v1/check: a batch of items, each with the hashes of one upload. From bytes to verdict on one screen."""

from functools import partial

from hashcheck_service.admission.key_file import KeyScope
from hashcheck_service.checking.encodings import form_of
from hashcheck_service.service import Service
from hashcheck_service.web.context import Context
from hashcheck_service.web.question import Question


class CheckEndpoint:
    scope = KeyScope.CHECK
    basic = False

    def __init__(self, service: Service) -> None:
        self._service = service
        self._limits = service.limits
        self.max_body = service.limits.max_body_bytes

    def question(self, context: Context, content_type: bytes, body: bytes) -> Question:
        form = form_of(content_type)
        snapshot = self._service.usable(context.snapshot)
        batch, hashes = form.batch(snapshot, body, self._limits)
        answer = partial(form.answer, context.request_id, snapshot, batch.refs)
        return Question(snapshot, self._service.policy, batch, hashes, form.header, answer)
