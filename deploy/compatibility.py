"""Whether a new JSON Schema of an event may replace an old one under the same version. Pure.

What agencies and the authority send: everything the old schema accepted must stay accepted. Senders update when they
can, and the submissions topic is kept for ever.

What the platform publishes is frozen both ways: our readers must read retained records, and outside readers must not
meet a value that the old schema excludes. So an enum is closed (an older reader refuses a word it does not know; open
vocabularies are plain strings), a promised field stays promised, and a new field is optional, since retained records
lack it. Whatever the check cannot judge, it refuses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Schema = Mapping[str, Any]

PLACE: Final = "x-dondoc"
"""The keyword that says on which topics the event stands, who sends it and how it is keyed."""

_ANNOTATIONS: Final = frozenset(
    {"$schema", "$id", "$defs", "$comment", "title", "description", "examples", "default", "deprecated", PLACE}
)
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_OPAQUE: Final = ("pattern", "format", "multipleOf", "uniqueItems")
"""Constraints of which only presence can be judged: whether one pattern includes another, nobody can say."""
_JUDGED: Final = frozenset(
    {"type", "enum", "const", "properties", "required", "additionalProperties", "items", *_LOWER, *_UPPER, *_OPAQUE}
)
_DEPTH_MAX: Final = 40


def additive(old: Schema, new: Schema) -> list[str]:
    """Why `new` may not replace `old` under the same version; empty when it may."""
    was, now = old.get(PLACE, {}), new.get(PLACE, {})
    problems = [f"no longer on topic {topic}" for topic in was.get("topics", ()) if topic not in now.get("topics", ())]
    problems += [
        f"{word} changed from {was[word]} to {now.get(word)}"
        for word in ("sender", "keyed_by")
        if word in was and was[word] != now.get(word)
    ]
    published = was.get("sender") == "platform"
    return _once([*problems, *_Comparison(old, new, published).values(old, new, "", 0)])


def removed(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """A line for each event (or topic) that was there and is not any more."""
    return [f"{name}: removed; what is retained cannot be read without it" for name in sorted(set(old) - set(new))]


def _once(problems: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(problems))


def _least(compared: list[list[str]], otherwise: str) -> list[str]:
    """The problems with the branch that fits best."""
    return min(compared, key=lambda problems: len(problems), default=[otherwise])


def _branches(root: Schema, schema: Schema | bool) -> list[Schema]:
    """The alternatives of a value, references followed. What is combined in another way stays one opaque branch."""
    if isinstance(schema, bool):
        return [{} if schema else {"not": {}}]
    plain = {word: value for word, value in schema.items() if word not in _ANNOTATIONS}
    if len(plain) == 1:
        ((word, value),) = plain.items()
        if word == "$ref" and isinstance(value, str) and value.startswith("#/"):
            found: Any = root
            for part in value.removeprefix("#/").split("/"):
                found = found[part]
            return _branches(root, found)
        if word in {"anyOf", "oneOf"}:
            return [branch for one in value for branch in _branches(root, one)]
    if isinstance(plain.get("type"), list):
        return [{**plain, "type": one} for one in plain["type"]]
    return [plain]


def _kind(branch: Schema, *, by_constants: bool) -> str:
    """What tells one branch of a union from another: its type, and for objects their constants (`kind: fixed`)."""
    constants = [
        f"{name}={field['const']}"
        for name, field in branch.get("properties", {}).items()
        if by_constants and isinstance(field, Mapping) and "const" in field
    ]
    return " ".join([branch.get("type", "anything"), *constants])


def _fits(narrow: str, wide: str) -> bool:
    return narrow == wide or wide == "anything" or (narrow, wide) == ("integer", "number")


def _allowed(branch: Schema) -> list[Any] | None:
    return [branch["const"]] if "const" in branch else branch.get("enum")


@dataclass(frozen=True, slots=True)
class _Comparison:
    old_root: Schema
    new_root: Schema
    published: bool

    def values(self, old: Schema | bool, new: Schema | bool, path: str, depth: int) -> list[str]:
        """Compare two schemas of one value."""
        if depth > _DEPTH_MAX:
            return [f"{path}: nested deeper than this check follows"]
        olds, news = _branches(self.old_root, old), _branches(self.new_root, new)
        union = max(sum(one.get("type") == "object" for one in side) for side in (olds, news)) > 1
        kinds, new_kinds = ([_kind(one, by_constants=union) for one in side] for side in (olds, news))
        # Each pair once: twice would double the work with every level.
        compared = {
            (i, j): self._branch(olds[i], news[j], path, depth)
            for i, kind in enumerate(kinds)
            for j, new_kind in enumerate(new_kinds)
            if _fits(kind, new_kind) or (self.published and _fits(new_kind, kind))
        }
        problems: list[str] = []
        for i, kind in enumerate(kinds):
            found = [compared[i, j] for j, new_kind in enumerate(new_kinds) if _fits(kind, new_kind)]
            problems += _least(found, f"{path or '/'}: {kind} is no longer possible")
        for j, new_kind in enumerate(new_kinds) if self.published else ():
            found = [compared[i, j] for i, kind in enumerate(kinds) if _fits(new_kind, kind)]
            problems += _least(found, f"{path or '/'}: {new_kind} is new, and older readers refuse it")
        return _once(problems)

    def _branch(self, old: Schema, new: Schema, path: str, depth: int) -> list[str]:
        problems = [
            f"{path or '/'}: {word} changed, which this check cannot judge"
            for word in sorted((old.keys() | new.keys()) - _ANNOTATIONS - _JUDGED)
            if old.get(word) != new.get(word)
        ]
        narrower, wider = [*self._words(old, new)], [*self._words(new, old)]
        for words, saying in ((narrower, "narrowed"), (wider if self.published else [], "widened")):
            problems += [f"{path or '/'}: {saying}: {word}" for word in words]
        problems += self._fields(old, new, path, depth)
        if "items" in old or "items" in new:
            problems += self.values(old.get("items", True), new.get("items", True), f"{path}/*", depth + 1)
        return problems

    @staticmethod
    def _words(wide: Schema, narrow: Schema) -> Iterable[str]:
        """What `narrow` excludes and `wide` does not, as far as single keywords say."""
        before, after = _allowed(wide), _allowed(narrow)
        if after is not None and before is None:
            yield f"only {after}"
        elif after is not None and before is not None:
            yield from (f"without {value!r}" for value in before if value not in after)
        for words, sign in ((_LOWER, 1), (_UPPER, -1)):
            for word in words:
                limit, known = narrow.get(word), wide.get(word)
                if limit is not None and (known is None or sign * limit > sign * known):
                    yield f"{word} {limit}"
        for word in _OPAQUE:
            if narrow.get(word) not in (None, False, wide.get(word)):
                yield f"{word} {narrow[word]}"

    def _fields(self, old: Schema, new: Schema, path: str, depth: int) -> list[str]:
        known, fields = old.get("properties", {}), new.get("properties", {})
        required, requires = set(old.get("required", ())), set(new.get("required", ()))
        problems = [f"{path}/{name}: field removed" for name in known if name not in fields]
        problems += [
            f"{path}/{name}: " + ("now required" if name in known else "new field is required")
            for name in sorted(requires - required)
        ]
        if self.published:
            problems += [f"{path}/{name}: no longer required" for name in sorted(required - requires) if name in fields]
        for name in sorted(known.keys() & fields.keys()):
            problems += self.values(known[name], fields[name], f"{path}/{name}", depth + 1)
            if name not in required and _default(known[name]) != _default(fields[name]):
                problems.append(f"{path}/{name}: default changed, so leaving it out means something else")
        was, now = old.get("additionalProperties", True), new.get("additionalProperties", True)
        return [*problems, *(self.values(was, now, f"{path}/<other>", depth + 1) if was != now else ())]


def _default(field: Schema | bool) -> list[Any]:
    """The default, boxed, so that a default of null is not the same as none."""
    return [field["default"]] if isinstance(field, Mapping) and "default" in field else []
