"""A study file as plain data: YAML read strictly, with the replacements of the command line in place."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fadecast.errors import InputError
from fadecast.formats import DATA_KEYS
from fadecast.locations import beside
from fadecast.strict_yaml import DEEPEST, parse

_LONGEST_SHOWN = 60
_LONGEST_LINE = 1000
"""Characters of a message about one key."""
_MOST_SAID = 4000
"""Characters of a whole message, or it scrolls off what a person reads."""
_LARGEST = 300_000
"""Bytes of a study file: what is read in seconds, and no endless device."""


@dataclass(frozen=True)
class Document:
    """What a study file says, not yet checked against what a study is."""

    path: Path
    """The file."""
    content: dict[str, Any]
    """Text, numbers, lists and mappings by text."""
    overrides: tuple[str, ...] = ()
    """Assignments of the command line, already in `content`."""

    def refuse(self, problems: Sequence[str], more: int = 0) -> InputError:
        """Return one error that names the file and the problems, each of which begins with a dotted key.

        Parameters
        ----------
        problems
            As many as a person wants to read; those that make the message too long are counted only.
        more
            How many there are beside.
        """
        given = {assignment.partition("=")[0].strip(): assignment for assignment in self.overrides}
        lines: list[str] = []
        for problem in problems:
            source = (f" (--set {a})" for key, a in given.items() if problem.startswith((f"{key}:", f"{key}.")))
            line = shortened(problem, _LONGEST_LINE) + shortened(next(source, ""), _LONGEST_LINE)
            if lines and sum(map(len, lines)) + len(line) > _MOST_SAID:
                break
            lines.append(line)
        count = len(problems) + more
        if count == 1:
            return InputError(f"{self.path}: {lines[0]}")
        unsaid = [f"and {count - len(lines):,} more"] if count > len(lines) else []
        return InputError("\n  ".join([f"{self.path}: {count:,} keys are wrong", *lines, *unsaid]))


def read_document(path: Path, overrides: Sequence[str] = ()) -> Document:
    """Read a study file.

    Parameters
    ----------
    path
        YAML file.
    overrides
        Assignments `a.b=c` that replace values of the file; `c` is YAML.

    Raises
    ------
    InputError
        When the file cannot be read, is not YAML, or an assignment is none.
    """
    content = _parsed(_text(path), str(path))
    if content is None:
        raise InputError(f"{path}: the file is empty; must hold the keys of a study, such as name, packs, draws, years")
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {shown(content)} at the top; must hold keys, such as name, packs, draws")
    for assignment in overrides:
        _override(content, assignment, path)
    document = Document(path, content, tuple(overrides))
    problems = [problem for keys, suffixes in DATA_KEYS.items() for problem in _find_beside(document, keys, suffixes)]
    if problems:
        raise document.refuse(problems)
    return document


def _find_beside(document: Document, keys: tuple[str, ...], suffixes: tuple[str, ...]) -> Iterator[str]:
    """Make the name of a file that a key may hold one that does not depend on where the program is run."""
    *sections, last = keys
    content: Any = document.content
    for section in sections:
        content = content.get(section) if isinstance(content, dict) else None
    name = content.get(last) if isinstance(content, dict) else None
    if isinstance(name, str) and name.endswith(suffixes):
        try:
            content[last] = str(beside(document.path.parent, name))
        except ValueError as error:
            yield f"{'.'.join(keys)}: got {shown(name)}, which {error}"


def shown(value: Any) -> str:
    """Return a value as a message quotes it."""
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return shortened(text, _LONGEST_SHOWN)


def shortened(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """Return text for a message: on one line, without what a terminal would obey, and not longer than so much."""
    text = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise InputError(f"{path}: is larger than {_LARGEST:,} bytes; must be a study file in YAML")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; must be a study file in YAML, such as configs/demo.yaml") from None
    except IsADirectoryError:
        raise InputError(
            f"{path}: is a folder; must be a study file in YAML (a run folder goes on with: fadecast resume {path})"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; must be a study file in YAML, UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); must be a study file in YAML") from None


def _parsed(text: str, source: str) -> Any:
    """Parse YAML into text, numbers, lists and mappings by text."""
    try:
        content = parse(text)
        # Dates and the like have no JSON form; nodes shared by an anchor become separate.
        return json.loads(json.dumps(content))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = shortened(str(error.problem or error.context), _LONGEST_LINE)
        raise InputError(f"{source}{place}: not valid YAML: {problem}") from None
    except yaml.reader.ReaderError as error:
        raise InputError(f"{source}, character {error.position}: not valid YAML: {error.reason}") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        reason = shortened(str(error), _LONGEST_LINE)
        raise InputError(f"{source}: must hold text, numbers, lists and keys only ({reason})") from None


def _override(document: dict[str, Any], assignment: str, path: Path) -> None:
    source = f"{path}: --set {shortened(assignment, _LONGEST_LINE)}"
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise InputError(f"{source}: must be key=value, as in --set warranty.contract.term_years=8")
    parts = _parts(key)
    if len(parts) > DEEPEST:
        raise InputError(f"{source}: {len(parts)} keys in one another; must be {DEEPEST} at most")
    node: Any = document
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            index: Any = int(part)
        elif isinstance(node, dict):
            index = part
            if not last:
                node.setdefault(part, {})
        else:
            above = shortened(".".join(parts[:depth]))
            raise InputError(f"{source}: {above} is {shown(node)} and has no key {shortened(repr(part))}")
        if last:
            node[index] = _parsed(text, source)
        else:
            node = node[index]


def _parts(key: str) -> list[str]:
    """Split a dotted key, except at the dots of a unit in brackets."""
    return re.split(r"\.(?![^\[]*\])", key.strip())
