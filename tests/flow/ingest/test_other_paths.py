"""Paths beside the one that matters: errors of HTTP, the description, probes, metrics, the line in the log."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.ingest import wire
from services.ingest.answers import STATUS
from services.ingest.domain.refusal import Code
from tests.flow.ingest.harness import Door, code_of
from tests.unit.ingest.builders import AGENCY, PROGRESS, an_event


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/events/", "/v1/events/x", "/v1/tasks", "/docs"])
async def test_what_is_not_there_is_404_as_a_problem(door: Door, path: str) -> None:
    answer = await door.client.post(path)

    assert code_of(answer) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_another_method_is_405_and_says_which_is_allowed(door: Door, method: str) -> None:
    answer = await door.client.request(method, "/v1/events")

    assert code_of(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_the_description_is_valid_and_has_an_example_of_every_type(door: Door) -> None:
    document = (await door.client.get("/openapi.json")).json()

    validate(document)
    content = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    examples = [one["value"] for one in content["application/cloudevents+json"]["examples"].values()]
    assert {example["type"] for example in examples} == wire.EVENT_TYPES.keys()


async def test_every_example_of_the_description_would_be_taken(door: Door) -> None:
    document = (await door.client.get("/openapi.json")).json()
    content = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]

    for example in content["application/cloudevents+json"]["examples"].values():
        wire.read(example["value"])
    for example in content["application/cloudevents-batch+json"]["examples"]["batch"]["value"]:
        wire.read(example)


async def test_the_description_names_every_code_under_its_status(door: Door) -> None:
    paths = (await door.client.get("/openapi.json")).json()["paths"]
    described = [paths[path]["post"]["responses"] for path in ("/v1/events", "/v1/edxml")]

    told = " ".join(answer["description"] for responses in described for answer in responses.values())
    for responses in described:
        for status, answer in responses.items():
            codes = re.findall(r"`(\w+)`", answer["description"].partition("`code`: ")[2])
            assert {str(STATUS[Code(code)]) for code in codes} <= {status}

    assert [code for code in Code if f"`{code}`" not in told] == [Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED]


async def test_every_type_has_a_schema_that_its_example_keeps_to(door: Door) -> None:
    """The schema stands by itself: an agency's programmer needs nothing else."""
    listed = (await door.client.get("/v1/schemas")).json()["schemas"]
    assert {one["type"] for one in listed} == wire.EVENT_TYPES.keys()
    document = (await door.client.get("/openapi.json")).json()
    content = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    examples = [one["value"] for one in content["application/cloudevents+json"]["examples"].values()]

    for one in listed:
        answer = await door.client.get(one["href"])
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/schema+json")
        schema = Draft202012Validator(answer.json())
        Draft202012Validator.check_schema(answer.json())
        [*valid] = (example for example in examples if example["type"] == one["type"])
        for example in valid:
            schema.validate(example)
            assert not schema.is_valid({**example, "data": {**example["data"], "unheard_of": 1}})


async def test_a_type_that_is_not_there_has_no_schema(door: Door) -> None:
    answer = await door.client.get("/v1/schemas/dondoc.task.forgotten.v1")

    assert code_of(answer) == (404, "not_found")
    assert "/v1/schemas lists" in answer.json()["detail"]


async def test_ready_means_that_keys_are_loaded_and_the_producer_is_up(door: Door) -> None:
    answer = await door.client.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"producer": True, "keys": True})


async def test_without_keys_it_is_alive_but_not_ready_and_asks_to_come_again(tmp_path: Path) -> None:
    door = Door(tmp_path)
    door.issuer.jwks_file.unlink()

    assert (await door.client.get("/livez")).status_code == 200
    assert (await door.client.get("/readyz")).json() == {"producer": True, "keys": False}
    assert code_of(await door.post(an_event())) == (503, "keys_missing")


async def test_metrics_count_requests_by_code_and_accepted_events_by_type(door: Door) -> None:
    labels = {"route": "/v1/events", "status": "202", "code": "accepted"}

    def counts() -> tuple[float, float]:
        return (
            REGISTRY.get_sample_value("dondoc_ingest_requests_total", labels) or 0,
            REGISTRY.get_sample_value("dondoc_ingest_events_total", {"type": PROGRESS}) or 0,
        )

    requests, events = counts()

    await door.post([an_event({"id": str(number)}) for number in range(3)])
    await door.post([an_event({"id": str(number)}, percent=101) for number in range(3)])

    assert counts() == (requests + 1, events + 3)
    assert "dondoc_ingest_in_flight_events 0.0" in (await door.client.get("/metrics")).text


async def test_each_request_leaves_one_line(door: Door) -> None:
    with capture_logs() as lines:
        await door.post([an_event(), an_event({"id": "2"})])
        await door.post(an_event(percent=101))
        await door.client.get("/nowhere")

    told = [line for line in lines if line["event"] == "request.answered"]
    assert [(line["route"], line["status"], line["code"], line["events"]) for line in told] == [
        ("/v1/events", 202, "accepted", 2),
        ("/v1/events", 422, "invalid_event", 0),
        ("unmatched", 404, "not_found", 0),
    ]
    assert (told[0]["agency"], told[0]["province"]) == (AGENCY, "H48")
    assert told[0]["bytes"] == len(json.dumps([an_event(), an_event({"id": "2"})]))
    assert told[0]["duration_ms"] > 0


async def test_the_line_names_the_trace_of_a_refused_request_too(door: Door) -> None:
    trace = [("traceparent", f"00-{'a' * 32}-{'b' * 16}-01")]
    with capture_logs() as lines:
        await door.post(an_event(), headers=trace)
        await door.post(an_event(), token="x", headers=trace)
        await door.post(an_event(), headers=[("traceparent", "00-x")])

    told = [line["trace_id"] for line in lines if line["event"] == "request.answered"]
    assert told == ["a" * 32, "a" * 32, None]
