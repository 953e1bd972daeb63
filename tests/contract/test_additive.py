"""What may change in an event under the same version, and what may not."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from deploy import contracts
from deploy.compatibility import PLACE, additive, removed
from deploy.contracts import ASYNCAPI, EXAMPLES, ROOT, SCHEMAS

Schema = dict[str, Any]
Change = Callable[[Schema], object]

COMMITTED = sorted((ROOT / SCHEMAS).rglob("*.json"))


def an_event(sender: str) -> Schema:
    """A schema with one field of every kind that our events have."""
    return {
        "type": "object",
        "properties": {"type": {"const": "dondoc.x.v1", "type": "string"}, "data": {"$ref": "#/$defs/Data"}},
        "required": ["type", "data"],
        PLACE: {"topics": ["dondoc.a.v1", "dondoc.b.v1"], "sender": sender, "keyed_by": "task"},
        "$defs": {
            "Data": {
                "type": "object",
                "description": "Whatever.",
                "required": ["percent", "state", "code"],
                "properties": {
                    "percent": {"type": "integer", "minimum": 0, "maximum": 100},
                    "state": {"$ref": "#/$defs/State"},
                    "code": {"type": "string", "pattern": "^[A-Z]+$", "maxLength": 9},
                    "note": {"type": "string", "default": "", "maxLength": 100},
                    "day": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
                    "list": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 5},
                    "due": {"oneOf": [{"$ref": "#/$defs/Fixed"}, {"$ref": "#/$defs/Open"}]},
                },
            },
            "State": {"enum": ["open", "done"], "type": "string"},
            "Fixed": {
                "type": "object",
                "properties": {"kind": {"const": "fixed", "type": "string"}, "day": {"type": "string"}},
                "required": ["kind", "day"],
            },
            "Open": {
                "type": "object",
                "properties": {"kind": {"const": "open", "type": "string"}},
                "required": ["kind"],
            },
        },
    }


def data(schema: Schema) -> Schema:
    found: Schema = schema["$defs"]["Data"]
    return found


def field(schema: Schema, name: str) -> Schema:
    found: Schema = data(schema)["properties"][name]
    return found


# What happens to the schema: words that the complaint about a submission has, and about a fact; "" is no complaint.
CASES: dict[str, tuple[Change, str, str]] = {
    "nothing": (lambda s: None, "", ""),
    "another description": (lambda s: data(s).update(description="Better words."), "", ""),
    "a new optional field": (lambda s: data(s)["properties"].update(extra={"type": "string"}), "", ""),
    "a new required field": (
        lambda s: (data(s)["properties"].update(extra={"type": "string"}), data(s)["required"].append("extra")),
        "/data/extra: new field is required",
        "/data/extra: new field is required",
    ),
    "an optional field removed": (
        lambda s: data(s)["properties"].pop("note"),
        "/data/note: field removed",
        "/data/note: field removed",
    ),
    "a required field removed": (
        lambda s: (data(s)["properties"].pop("code"), data(s)["required"].remove("code")),
        "/data/code: field removed",
        "/data/code: field removed",
    ),
    "a field now required": (
        lambda s: data(s)["required"].append("note"),
        "/data/note: now required",
        "/data/note: now required",
    ),
    "a field no longer required": (
        lambda s: data(s)["required"].remove("code"),
        "",
        "/data/code: no longer required",
    ),
    "a word of an enum removed": (
        lambda s: s["$defs"]["State"]["enum"].remove("done"),
        "/data/state: narrowed: without 'done'",
        "/data/state: narrowed: without 'done'",
    ),
    "a word added to an enum": (
        lambda s: s["$defs"]["State"]["enum"].append("lost"),
        "",
        "/data/state: widened: without 'lost'",
    ),
    "an enum where any text was": (
        lambda s: field(s, "note").update(enum=["a"]),
        "/data/note: narrowed: only ['a']",
        "/data/note: narrowed: only ['a']",
    ),
    "any text where an enum was": (
        lambda s: s["$defs"]["State"].pop("enum"),
        "",
        "/data/state: widened: only ['open', 'done']",
    ),
    "another event type": (
        lambda s: s["properties"]["type"].update(const="dondoc.y.v1"),
        "/type: narrowed",
        "/type: narrowed",
    ),
    "a higher minimum": (
        lambda s: field(s, "percent").update(minimum=1),
        "/data/percent: narrowed: minimum 1",
        "/data/percent: narrowed: minimum 1",
    ),
    "a lower maximum": (
        lambda s: field(s, "percent").update(maximum=99),
        "/data/percent: narrowed: maximum 99",
        "/data/percent: narrowed: maximum 99",
    ),
    "a higher maximum": (
        lambda s: field(s, "percent").update(maximum=120),
        "",
        "/data/percent: widened: maximum 100",
    ),
    "no maximum": (lambda s: field(s, "percent").pop("maximum"), "", "/data/percent: widened: maximum 100"),
    "a shorter text": (
        lambda s: field(s, "note").update(maxLength=99),
        "/data/note: narrowed: maxLength 99",
        "/data/note: narrowed: maxLength 99",
    ),
    "a text that may not be empty any more": (
        lambda s: field(s, "note").update(minLength=1),
        "/data/note: narrowed: minLength 1",
        "/data/note: narrowed: minLength 1",
    ),
    "a shorter list": (
        lambda s: field(s, "list").update(maxItems=4),
        "/data/list: narrowed: maxItems 4",
        "/data/list: narrowed: maxItems 4",
    ),
    "other items": (
        lambda s: field(s, "list").update(items={"type": "integer"}),
        "/data/list/*: string is no longer possible",
        "/data/list/*: string is no longer possible",
    ),
    "another pattern": (
        lambda s: field(s, "code").update(pattern="^[A-Z0-9]+$"),
        "/data/code: narrowed: pattern",
        "/data/code: narrowed: pattern",
    ),
    "a pattern where none was": (
        lambda s: field(s, "note").update(pattern="."),
        "/data/note: narrowed: pattern",
        "/data/note: narrowed: pattern",
    ),
    "no pattern": (lambda s: field(s, "code").pop("pattern"), "", "/data/code: widened: pattern"),
    "another type": (
        lambda s: field(s, "percent").update(type="string"),
        "/data/percent: integer is no longer possible",
        "/data/percent: integer is no longer possible",
    ),
    "a wider type": (
        lambda s: field(s, "percent").update(type="number"),
        "",
        "/data/percent: number is new",
    ),
    "null no longer possible": (
        lambda s: field(s, "day")["anyOf"].pop(),
        "/data/day: null is no longer possible",
        "/data/day: null is no longer possible",
    ),
    "null possible": (
        lambda s: data(s)["properties"].update(list={"anyOf": [field(s, "list"), {"type": "null"}]}),
        "",
        "/data/list: null is new",
    ),
    "a kind of object removed": (
        lambda s: field(s, "due")["oneOf"].pop(),
        "/data/due: ",
        "/data/due: ",
    ),
    "a new kind of object": (
        lambda s: field(s, "due")["oneOf"].append(
            {"type": "object", "properties": {"kind": {"const": "new", "type": "string"}}, "required": ["kind"]}
        ),
        "",
        "/data/due: object kind=new is new",
    ),
    "unknown fields refused": (
        lambda s: data(s).update(additionalProperties=False),
        "/data/<other>: ",
        "/data/<other>: ",
    ),
    "another default": (
        lambda s: field(s, "note").update(default="?"),
        "/data/note: default changed",
        "/data/note: default changed",
    ),
    "a word this check does not know": (
        lambda s: data(s).update(dependentRequired={"note": ["day"]}),
        "/data: dependentRequired changed, which this check cannot judge",
        "/data: dependentRequired changed, which this check cannot judge",
    ),
    "gone from a topic": (
        lambda s: s[PLACE]["topics"].pop(),
        "no longer on topic dondoc.b.v1",
        "no longer on topic dondoc.b.v1",
    ),
    "on one more topic": (lambda s: s[PLACE]["topics"].append("dondoc.c.v1"), "", ""),
    "another sender": (
        lambda s: s[PLACE].update(sender="authority"),
        "sender changed from agency to authority",
        "sender changed from platform to authority",
    ),
    "another key": (
        lambda s: s[PLACE].update(keyed_by="province"),
        "keyed_by changed from task to province",
        "keyed_by changed from task to province",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sender", ["agency", "platform"])
def test_a_change_is_judged_by_who_must_live_with_it(case: str, sender: str) -> None:
    change, of_submission, of_fact = CASES[case]
    old = an_event(sender)
    new = copy.deepcopy(old)
    change(new)

    problems = additive(old, new)

    complaint = of_fact if sender == "platform" else of_submission
    if complaint:
        assert [problem for problem in problems if problem.startswith(complaint)], problems
    else:
        assert problems == []


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_committed_schema_may_replace_itself(path: Path) -> None:
    schema = json.loads(path.read_text())

    assert additive(schema, copy.deepcopy(schema)) == []


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_promised_field_of_a_committed_schema_is_watched(path: Path) -> None:
    """INVARIANT: no required field of any event, however deep, can go unnoticed.

    Otherwise a reader that relies on it breaks on a change that this check let pass.
    """
    schema = json.loads(path.read_text())
    for name, part in schema["$defs"].items():
        for required in part.get("required", ()):
            changed = copy.deepcopy(schema)
            del changed["$defs"][name]["properties"][required]
            changed["$defs"][name]["required"].remove(required)
            assert any(problem.endswith(f"/{required}: field removed") for problem in additive(schema, changed)), name


def test_a_removed_event_is_named() -> None:
    assert removed(["a", "b"], ["b", "c"]) == ["a: removed; what is retained cannot be read without it"]


# -- what the check promises, tried on small schemas -----------------------------------------------------------------

VALUES = (None, -1, 0, 1, 2, 3, "", "a", "b", "ab", "abc")
INSTANCES: tuple[Schema, ...] = ({}, *({"x": value} for value in VALUES))
LIMITS = st.integers(0, 2)
SCALARS: st.SearchStrategy[Schema] = st.one_of(
    st.fixed_dictionaries({"type": st.just("integer")}, optional={"minimum": LIMITS, "maximum": LIMITS}),
    st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": LIMITS, "maxLength": LIMITS}),
    st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, unique=True).map(lambda e: {"type": "string", "enum": e}),
    st.just({"type": "null"}),
)
FIELDS = st.one_of(SCALARS, st.lists(SCALARS, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}))
OBJECTS = st.builds(
    lambda field, required: {"type": "object", "properties": {"x": field}, "required": ["x"] * required},
    FIELDS,
    st.booleans(),
)


def sent_by(sender: str, schema: Schema) -> Schema:
    return {**schema, PLACE: {"sender": sender}}


def valid(schema: Schema) -> list[Schema]:
    validator = Draft202012Validator(schema)
    return [instance for instance in INSTANCES if validator.is_valid(instance)]


@settings(max_examples=2000, deadline=None)
@given(old=OBJECTS, new=OBJECTS)
def test_what_was_accepted_stays_accepted(old: Schema, new: Schema) -> None:
    """INVARIANT: an additive change refuses nothing that was valid.

    Otherwise a sender that did nothing wrong is refused after our release.
    """
    if not additive(sent_by("agency", old), sent_by("agency", new)):
        assert [instance for instance in valid(old) if instance not in valid(new)] == []


@settings(max_examples=2000, deadline=None)
@given(old=OBJECTS, new=OBJECTS)
def test_what_is_published_stays_within_what_readers_know(old: Schema, new: Schema) -> None:
    """INVARIANT: after an additive change of a fact, new records fit the old schema and retained ones the new.

    Otherwise a reader written for the old schema, or our own on a retained record, breaks.
    """
    if not additive(sent_by("platform", old), sent_by("platform", new)):
        assert valid(new) == valid(old)


# -- against a commit ------------------------------------------------------------------------------------------------


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.vn", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def put(root: Path, path: PurePosixPath, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A repository whose only commit has the contract as it is today."""
    put(tmp_path, PurePosixPath("pyproject.toml"), (ROOT / "pyproject.toml").read_text())
    for path in (ROOT / EXAMPLES).rglob("*.json"):
        put(tmp_path, PurePosixPath(path.relative_to(ROOT)), path.read_text())
    contracts.write(contracts.contract_files(tmp_path), [SCHEMAS], tmp_path)
    git(tmp_path, "init", "--quiet")
    return tmp_path


def commit_with(root: Path, path: PurePosixPath, change: Change) -> None:
    """Commit the contract as if `path` had looked otherwise in the past."""
    document = json.loads((root / path).read_text())
    change(document)
    put(root, path, json.dumps(document))
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "published")


def test_the_contract_is_compared_with_a_commit(published: Path) -> None:
    commit_with(published, ASYNCAPI, lambda document: None)

    assert contracts.changes("HEAD", published) == []


def test_a_field_that_a_commit_had_is_missed(published: Path) -> None:
    path = SCHEMAS / "tasks" / "task.completed.v1.json"
    commit_with(published, path, lambda s: s["$defs"]["TaskSnapshot"]["properties"].update(colour={"type": "string"}))

    assert contracts.changes("HEAD", published) == [f"{path}: /data/task/colour: field removed"]


def test_an_event_that_a_commit_had_is_missed(published: Path) -> None:
    path = SCHEMAS / "tasks" / "task.applauded.v1.json"
    put(published, path, "{}")
    commit_with(published, path, lambda schema: None)

    assert contracts.changes("HEAD", published) == [f"{path}: removed; what is retained cannot be read without it"]


def test_a_topic_keeps_its_partitions_and_stays(published: Path) -> None:
    def past(document: Schema) -> None:
        document["channels"]["tasks"]["bindings"]["kafka"]["partitions"] = 6
        document["channels"]["jobs"] = {**document["channels"]["alerts"], "address": "dondoc.jobs.v1"}

    commit_with(published, ASYNCAPI, past)

    assert contracts.changes("HEAD", published) == [
        f"{ASYNCAPI}: dondoc.jobs.v1: removed; what is retained cannot be read without it",
        f"{ASYNCAPI}: dondoc.tasks.v1: partitions changed from 6 to 12",
    ]


def test_a_commit_from_before_the_contract_has_nothing_to_compare(published: Path) -> None:
    git(published, "add", "pyproject.toml")
    git(published, "commit", "--quiet", "--message", "before")

    assert contracts.changes("HEAD", published) is None


def test_a_commit_that_is_not_there_is_an_error(published: Path) -> None:
    with pytest.raises(contracts.ContractsError, match="nowhere is no commit here"):
        contracts.changes("nowhere", published)
