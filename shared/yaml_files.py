"""Reads a file that people write (YAML) into a model; what is wrong is told with file, line and what to write instead.

    content = read_yaml(path, Model)

Where fields contradict each other, which a model cannot place: `file = YamlFile.read(path)`, `file.into(Model)`, and
`file.refuse([(("escalation", 2, "with"), "take it out")])`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ValidationError

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int | str, ...]
"""Where in a file: names of fields and numbers of rows, from the outside in."""

_INPUT_CHARACTERS_MAX = 60
"""Of what was written, as far as it is quoted."""


def _time_of_day(written: object) -> time:
    # Unquoted, YAML reads 17:00 as the number 1020, and pydantic takes a number for seconds after midnight.
    if isinstance(written, str) and re.fullmatch("[0-9]{2}:[0-9]{2}(:[0-9]{2})?", written):
        try:
            return time.fromisoformat(written)
        except ValueError:
            pass
    raise ValueError(f'{_quoted(written)} is no time of day; write hours and minutes in quotes, such as "08:00"')


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]
"""Hours and minutes as text: `"08:00"`."""


class _Loader(yaml.SafeLoader):
    """Knows where a value stands that is none, such as 30 February, and which names nobody could mean so."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.slips: list[tuple[int, str]] = []

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            what = f"{_quoted(node.value)}: {error}"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # YAML itself lets the last one win, and nobody would know that the first is not read.
        first: dict[str, int] = {}
        for name, _ in node.value:
            line, key = _line(name), self.construct_object(name, deep=True)
            if isinstance(key, bool):
                self.slips.append((line, f"{name.value}: YAML reads this name as yes or no; put it in quotes"))
            if str(key) in first:
                self.slips.append((line, f"{key}: stands twice, first on line {first[str(key)]}; take one out"))
            first.setdefault(str(key), line)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file that was read, and where what stands in it."""

    path: Path
    content: Any
    _root: yaml.Node

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file. Raises OSError where it is not there, ValueError with the line where it is no YAML."""
        try:
            text = path.read_text(encoding="utf-8")
            loader = _Loader(text)
            root = loader.get_single_node()
            content = loader.construct_document(root) if root is not None else None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise _refusal(path, [(line, "is not written in UTF-8; save it as UTF-8")]) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise _refusal(path, [(line, "has a character that no text has; take it out")]) from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = f"cannot be read as YAML: {error.problem or error.context}"
            raise _refusal(path, [(mark.line + 1 if mark else 1, what)]) from None
        if root is None:
            raise _refusal(path, [(1, "the file is empty")])
        if loader.slips:
            raise _refusal(path, loader.slips)
        return cls(path, content, root)

    def into(self, model: type[Model]) -> Model:
        """What it says, as a model. Raises ValueError with all that the model refuses."""
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            problems = [(one["loc"], _remedy(one, model)) for one in error.errors()]
        raise self._refusal(problems)

    def refuse(self, problems: Iterable[tuple[Place, str]]) -> None:
        """Raise ValueError with all problems, if there are any."""
        if found := list(problems):
            raise self._refusal(found)

    def line_of(self, place: Place) -> int:
        """The line (from 1) on which something stands; of what is missing, the line of what it is missing in."""
        line, node = _line(self._root), self._root
        for step in place:
            found = next((one for one in _children(node) if one[0] == str(step)), None)
            if found is None:
                break
            _, line, node = found
        return line

    def _refusal(self, problems: Iterable[tuple[Place, str]]) -> ValueError:
        return _refusal(self.path, [(self.line_of(place), _told(place, what)) for place, what in problems])


def read_yaml(path: Path, model: type[Model]) -> Model:
    """Read a file into a model. Raises OSError, or ValueError with all that is wrong: file, line, field, remedy."""
    return YamlFile.read(path).into(model)


def _children(node: yaml.Node) -> Iterator[tuple[str, int, yaml.Node]]:
    match node:
        case yaml.MappingNode():
            yield from ((str(name.value), _line(name), value) for name, value in node.value)
        case yaml.SequenceNode():
            yield from ((str(number), _line(value), value) for number, value in enumerate(node.value))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _remedy(error: Any, model: type[BaseModel]) -> str:
    """Pydantic's words are written for programmers; these are for whoever wrote the file."""
    match error["type"]:
        case "missing":
            return "is missing; add it"
        case "extra_forbidden":
            known = f"; known are {', '.join(_fields(model))}" if len(error["loc"]) == 1 else ""
            return f"nobody reads this field; correct its name or take it out{known}"
        case "model_type" | "dict_type":
            return "must be fields with values, such as `name: value`"
        case "invalid_key":
            return f"names must be text, not {_quoted(error['input'])}; put them in quotes"
        case "tuple_type":
            return f"must be a list, such as [one, another], not {_quoted(error['input'])}"
        case "string_type":
            return f"must be text; put it in quotes: {_quoted(str(error['input']))}"
        case "enum" | "literal_error":
            return f"{_quoted(error['input'])} is unknown; choose {error['ctx']['expected']}"
        case "value_error":
            return str(error["ctx"]["error"])
    return f"{error['msg'].replace('Input should', 'must', 1)}, not {_quoted(error['input'])}"


def _fields(model: type[BaseModel]) -> Iterator[str]:
    yield from (field.alias or name for name, field in model.model_fields.items())


def _quoted(written: object) -> str:
    text = repr(written) if not isinstance(written, str) else f'"{written}"'
    return text if len(text) <= _INPUT_CHARACTERS_MAX else f"{text[:_INPUT_CHARACTERS_MAX]}…"


def _told(place: Place, what: str) -> str:
    where = ".".join(str(step) for step in place if step != "[key]")
    return f"{where}: {what}" if where else what


def _refusal(path: Path, problems: Iterable[tuple[int, str]]) -> ValueError:
    return ValueError("\n".join(f"{path}, line {line}: {what}" for line, what in sorted(problems)))
