"""What the description promises is what the door does: requests made from it, good and bad ones, by schemathesis."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.flow.ingest.harness import Door

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATIONS = [("POST", "/v1/events"), ("POST", "/v1/edxml"), ("GET", "/v1/schemas"), ("GET", "/v1/schemas/{type}")]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Door:
    return Door(tmp_path_factory.mktemp("door"), {"agency_events_burst": 1_000_000})


@pytest.fixture(scope="module")
def described(door: Door) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", door.app)


def test_no_operation_is_left_out(described: Any) -> None:
    assert {(one.ok().method.upper(), one.ok().path) for one in described.get_all_operations()} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        (*operation, mode)
        for operation in OPERATIONS
        for mode in GenerationMode
        # Nothing can be wrong where nothing is asked.
        if (operation[1], mode) != ("/v1/schemas", GenerationMode.NEGATIVE)
    ],
)
def test_every_answer_is_one_that_is_described(
    door: Door, described: Any, method: str, path: str, mode: GenerationMode
) -> None:
    token = door.token(scopes=["events:write", "authority:write"])

    @given(st.data())
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    def ask(data: Any) -> None:
        case = data.draw(described[path][method].as_strategy(generation_mode=mode))
        answer = case.call(headers={"authorization": f"Bearer {token}"})
        case.validate_response(answer, checks=CHECKS)

    ask()
