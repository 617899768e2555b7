"""A study file as plain data: YAML read strictly, with the replacements of the command line in place."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fadecast.errors import InputError
from fadecast.formats import DATA_KEYS

_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Document:
    """What a study file says, not yet checked against what a study is."""

    path: Path
    """The file."""
    content: dict[str, Any]
    """Text, numbers, lists and mappings by text."""
    overrides: tuple[str, ...] = ()
    """Assignments of the command line, already in `content`."""

    def refuse(self, problems: Sequence[str]) -> InputError:
        """Return one error that names the file and all problems, each of which begins with a dotted key."""
        given = {assignment.partition("=")[0].strip(): assignment for assignment in self.overrides}
        lines = []
        for problem in problems:
            source = (f" (--set {a})" for key, a in given.items() if problem.startswith((f"{key}:", f"{key}.")))
            lines.append(problem + next(source, ""))
        if len(lines) == 1:
            return InputError(f"{self.path}: {lines[0]}")
        return InputError("\n  ".join([f"{self.path}: {len(lines)} keys are wrong", *lines]))


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
    for keys, suffixes in DATA_KEYS.items():
        _find_beside(path.parent, content, keys, suffixes)
    return Document(path, content, tuple(overrides))


def _find_beside(folder: Path, content: Any, keys: tuple[str, ...], suffixes: tuple[str, ...]) -> None:
    """Make the name of a file that a key may hold one that does not depend on where the program is run."""
    *sections, last = keys
    for section in sections:
        content = content.get(section) if isinstance(content, dict) else None
    name = content.get(last) if isinstance(content, dict) else None
    if isinstance(name, str) and name.endswith(suffixes):
        content[last] = str((folder / name).resolve())


def shown(value: Any) -> str:
    """Return a value as a message quotes it."""
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key stands once, and 1e-3 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"key {shown(key)} is read as {type(key).__name__}, not as text; put it in quotes"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice; keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
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
        content = yaml.load(text, Loader=_Loader)
        # Dates and the like have no JSON form; nodes shared by an anchor become separate.
        return json.loads(json.dumps(content))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{source}{place}: not valid YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        raise InputError(f"{source}, character {error.position}: not valid YAML: {error.reason}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: must hold text, numbers, lists and keys only ({error})") from None


def _override(document: dict[str, Any], assignment: str, path: Path) -> None:
    source = f"{path}: --set {assignment}"
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise InputError(f"{source}: must be key=value, as in --set warranty.contract.term_years=8")
    parts = _parts(key)
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
            above = ".".join(parts[:depth])
            raise InputError(f"{source}: {above} is {shown(node)} and has no key {part!r}")
        if last:
            node[index] = _parsed(text, source)
        else:
            node = node[index]


def _parts(key: str) -> list[str]:
    """Split a dotted key, except at the dots of a unit in brackets."""
    return re.split(r"\.(?![^\[]*\])", key.strip())
