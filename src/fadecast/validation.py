"""Plain data of a file held against a model: all that is wrong is said at once, by key, value and what is allowed."""

import difflib
import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fadecast.document import Document, shortened, shown

_MOST_SAID = 30
"""Problems of a file that are worked out; a file of nothing but wrong keys has tens of thousands."""

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def validated(model: type[AnyModel], document: Document) -> AnyModel:
    """Return what a file describes, by a model; all that is wrong is said at once.

    Raises
    ------
    InputError
        When anything in it is wrong.
    """
    try:
        # Strict JSON takes a list for a tuple and an integer for a float, but neither "10" nor 10.0 for 10.
        return model.model_validate_json(json.dumps(document.content), strict=True)
    except ValidationError as error:
        errors = [each for each in error.errors(include_url=False) if not _is_of_other_kind(each)]
        above = {tuple(e["loc"][:n]) for e in errors for n in range(len(e["loc"])) if e["loc"]}
        errors = [e for e in errors if e["loc"] not in above]
        problems = [line for e in errors[:_MOST_SAID] for line in _problem(e, model)]
        raise document.refuse(list(dict.fromkeys(problems)), more=len(errors[_MOST_SAID:])) from None


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _problem(error: ErrorDetails, model: type[BaseModel]) -> list[str]:
    """Say what is wrong with a key: its dotted name, its value, what is allowed."""
    loc = tuple(part for part in error["loc"] if not str(part).startswith(_KINDS))
    key = ".".join(shortened(str(part)) for part in loc)
    allowed = _keys_at(_schema(model), loc[:-1])
    match error["type"]:
        case "missing":
            return [f"{key}: is missing; must be given"]
        case "extra_forbidden" | "unexpected_keyword_argument":
            name = str(loc[-1])
            choice = suggestion(name, allowed) or f"; must be one of {', '.join(allowed)}"
            return [f"{key}: unknown key with value {shown(error['input'])}{choice}"]
        case "value_error":
            text = str(error["ctx"]["error"])
            return [f"{key}: {line}" if key else line for line in text.splitlines()]
        case "union_tag_invalid":
            given = error["input"].get("kind") if isinstance(error["input"], dict) else error["input"]
            kinds = re.findall(r"\[(\w+)\]", error["ctx"]["expected_tags"])
            return [f"{key}.kind: got {shown(given)}; must be {' or '.join(map(repr, kinds))}"]
        case "string_pattern_mismatch":
            need = next(said for part, said in _PATTERNS.items() if part in error["ctx"]["pattern"])
        case "dataclass_type" | "model_type":
            need = f"must hold keys among {', '.join(_keys_at(_schema(model), loc))}"
        case _:
            need = re.sub(r"^\w+ should ", "must ", error["msg"])
    quotes = " (without quotes)" if _is_quoted_number(error) else ""
    if error["type"] == "literal_error" and isinstance(error["input"], bool):
        quotes = " (in quotes)"
    return [f"{key}: got {shown(error['input'])}; {need}{quotes}"]


_PATTERNS = {
    "A-Za-z": "must be letters, digits, '_' and '-', beginning with a letter or digit, 64 at most",
    r"^[^\r\n]+$": "must be one line of text",
    r"\s": "must be one word without quotes and what a shell understands",
    "": "must be text without $, backslash and line breaks",
}
"""Part of a pattern → what it asks for; the first that fits."""
# What pydantic adds to the place of an error in a setting that is either one value or one for each electrode.
_KINDS = ("literal[", "tuple[", "union[", "constrained-str")


def _is_of_other_kind(error: ErrorDetails) -> bool:
    """Whether a setting of one value or several is held against the kind that it is not."""
    kind = str(error["loc"][-1]) if error["loc"] else ""
    several = isinstance(error["input"], list)
    return (kind.startswith("literal[") and several) or (kind.startswith("tuple[") and not several)


def _is_quoted_number(error: ErrorDetails) -> bool:
    value = error["input"]
    return error["type"] in ("int_type", "float_type") and isinstance(value, str) and value.strip().isdigit()


def _keys_at(schema: dict[str, Any], loc: Iterable[int | str]) -> list[str]:
    """Return the keys that a JSON schema allows at a place."""
    definitions = schema.get("$defs", {})
    node = schema
    for part in loc:
        node = node.get("properties", {}).get(part) or node.get("items") or {}
        # A section that may be left out is one kind or nothing.
        node = next((kind for kind in node.get("anyOf", node.get("oneOf", ())) if "$ref" in kind), node)
        reference = str(node.get("$ref", "")).rpartition("/")[2]
        node = definitions.get(reference, node)
    return list(node.get("properties", {}))


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return a question after the name that was meant, where there is one like it."""
    close = difflib.get_close_matches(name, list(names), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
