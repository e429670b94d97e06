"""POST /v1/check: a batch of items, each with the hashes of one upload. From bytes to verdict on one screen."""

from starlette.types import Receive, Scope

from hashcheck_service.bodies import read_body
from hashcheck_service.envelope import Context
from hashcheck_service.forms import form_of, hashes_in
from hashcheck_service.hot_path import Answer, Endpoint
from hashcheck_service.routes.common import tenant, verdicts
from hashcheck_service.service import Service


def check_endpoint(service: Service) -> Endpoint:
    limits = service.limits

    async def answer(context: Context, scope: Scope, receive: Receive) -> Answer:
        headers = dict(scope["headers"])
        context.tenant = tenant(service, headers.get(b"authorization", b""))
        with service.checks:
            form = form_of(headers.get(b"content-type", b""))
            body = await read_body(scope, receive, limits.max_body_bytes, limits.body_seconds)
            asked = form.read(body, limits)
            service.quota.spend(context.tenant, hashes_in(asked))
            snapshot = service.usable(context.snapshot)
            batch = form.batch(snapshot, asked)
            results = await verdicts(service, context, snapshot, batch, service.policy)
        return form.header, form.answer(context.request_id, snapshot, batch.refs, results)

    return answer
