"""openapi.yaml is the contract: it equals what the app serves, and what the app serves keeps to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hashcheck_core.categories import Category
from hashcheck_service.app import openapi_yaml
from hashcheck_service.checking import schema as wire
from hashcheck_service.checking.reasons import Reason
from hashcheck_service.policy import Action, Verdict
from hashcheck_service.problems import ProblemDocument
from hashcheck_service.settings import Limits
from tests.support import Server

CONTRACT: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "openapi.yaml").read_bytes())
SCHEMAS = CONTRACT["components"]["schemas"]
STRUCTS: dict[str, type[msgspec.Struct]] = {
    **{
        n: s
        for n, s in vars(wire).items()
        if getattr(s, "__module__", "") == wire.__name__ and issubclass(s, msgspec.Struct)
    },
    "Problem": ProblemDocument,
}


def test_the_app_serves_the_contract_itself(server: Server) -> None:
    assert server.client.get("/openapi.yaml").content == openapi_yaml()
    assert yaml.safe_load(openapi_yaml()) == CONTRACT


def test_every_schema_is_that_of_the_struct_of_its_name() -> None:
    assert set(SCHEMAS) == set(STRUCTS)
    _, components = msgspec.json.schema_components(list(STRUCTS.values()))
    for name, struct in STRUCTS.items():
        theirs, ours = components[struct.__name__], SCHEMAS[name]
        assert set(ours["properties"]) == set(theirs["properties"]), name
        assert set(ours["required"]) == set(theirs["required"]), name
        assert ours.get("additionalProperties", True) == theirs.get("additionalProperties", True), name
        for field, schema in theirs["properties"].items():
            assert shape(ours["properties"][field]) == shape(schema), (name, field)


def shape(schema: dict[str, Any]) -> Any:
    """What a value is, without what is said about it: type, array items, reference."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "Problem" if name == ProblemDocument.__name__ else name
    if "anyOf" in schema:
        return {one["$ref"].rpartition("/")[2] if "$ref" in one else one["type"] for one in schema["anyOf"]}
    kind = schema["type"]
    if kind == "array":
        return ["array", shape(schema["items"])]
    return set(kind) if isinstance(kind, list) else {kind}


def test_enums_and_limits_are_those_of_the_code() -> None:
    result = SCHEMAS["ResultOut"]["properties"]
    assert set(result["verdict"]["enum"]) == set(Verdict)
    assert set(result["action"]["enum"]) == set(Action)
    assert set(result["reasons"]["items"]["enum"]) == set(Reason)
    assert set(SCHEMAS["MatchOut"]["properties"]["category"]["enum"]) == set(Category)
    limits = Limits()
    assert SCHEMAS["CheckRequest"]["properties"]["items"]["maxItems"] == limits.max_items
    assert SCHEMAS["ItemIn"]["properties"]["hashes"]["maxItems"] == limits.max_hashes_per_item
    assert SCHEMAS["ItemIn"]["properties"]["ref"]["maxLength"] == limits.max_ref_chars


def test_every_path_of_the_contract_is_served_with_its_methods_and_no_other(server: Server) -> None:
    for path, operations in CONTRACT["paths"].items():
        methods = {method.upper() for method in operations}
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            allowed = server.client.request(method, path).status_code not in (404, 405)
            assert allowed == (method in methods), (method, path)
    for path in ("/docs", "/redoc", "/openapi.json", "/v1", "/"):
        assert server.client.get(path).status_code == 404


def test_the_examples_of_the_contract_are_what_they_say(server: Server) -> None:
    operation = CONTRACT["paths"]["/v1/check"]["post"]
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        answer = server.client.post("/v1/check", json=example["value"])
        assert answer.json()["results"][0]["verdict"] == "match"
    for path, operations in CONTRACT["paths"].items():
        body = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("text/plain")
        if body is not None:
            assert server.client.post(path, content=body["example"]).text == "true"
    for example in operation["responses"]["200"]["content"]["application/json"]["examples"].values():
        msgspec.convert(example["value"], wire.CheckResponse)


@pytest.fixture(scope="module")
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@schemathesis.serializer("application/msgpack")
def packed(_: Any, value: Any) -> Any:
    try:
        return msgspec.msgpack.encode(plain(value))
    except (OverflowError, TypeError):  # what MessagePack has no word for
        return b"\xc1"


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> Any:
    return str(value).encode()


@schemathesis.deserializer("application/msgpack")
def unpacked(_: Any, response: Any) -> Any:
    return msgspec.msgpack.decode(response.content)


@schemathesis.deserializer("application/x-ndjson")
def text(_: Any, response: Any) -> Any:
    return response.content.decode()


def plain(value: Any) -> Any:
    """A generated value with the bytes it stands for."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return getattr(value, "data", value)


schema = schemathesis.openapi.from_dict(CONTRACT)


@schema.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_whatever_is_sent_the_answer_keeps_to_the_contract(
    case: "schemathesis.Case[Any]", server: Server, http: requests.Session
) -> None:
    headers = {"Authorization": f"Bearer {server.key}"}
    response = case.call(base_url=server.url, headers=headers, session=http)
    case.validate_response(
        response,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
    )
    assert server.process.poll() is None
    assert not [line for line in server.log if '"crash"' in line]


@pytest.mark.parametrize("name", sorted(CONTRACT["components"]["responses"]))
def test_every_error_of_the_contract_is_a_problem(name: str) -> None:
    response = CONTRACT["components"]["responses"][name]
    assert response["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }
