"""YAML as configurations need it: text, numbers, lists and mappings, each key once, nothing that runs or explodes."""

import json
import re
from itertools import chain
from typing import Any

import yaml

DEEPEST = 50
"""Sections in one another; more would end in the limits of whatever reads them next."""
_LONGEST = 10_000
"""Characters of one value; a number of more takes time that grows with their square."""
_LONGEST_KEY = 200
"""Characters of one key."""
_MOST = 5_000_000
"""Characters of all values once what anchors share is written out: ten lines of anchors can stand for terabytes."""
_ODD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""What no name or path has, and terminals obey or files cannot hold."""


def parse(text: str) -> Any:
    """Return the one document of a text.

    Raises
    ------
    yaml.YAMLError
        When it is not what a configuration may hold; nearly always says where.
    TypeError, ValueError, OverflowError, RecursionError
        On values beyond all bounds.
    """
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key stands once, and 1e-3 is a number."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            problem = f"nested in more than {DEEPEST} lists or sections"
            raise yaml.composer.ComposerError(None, None, problem, self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_document(self, node: yaml.Node) -> Any:
        size, height = _written_out(node, {})
        if size > _MOST or height > DEEPEST:
            found = f"{size:.3g} characters, nested in {height} lists or sections"
            raise _refusal(f"anchors make it {found}; must be {_MOST:,} and {DEEPEST} at most", node)
        return super().construct_document(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode):
            if len(node.value) > _LONGEST:
                raise _refusal(f"a value of {len(node.value):,} characters; must have {_LONGEST:,} at most", node)
            if odd := _ODD.search(node.value):
                raise _refusal(f"a value holds the character {odd.group()!r}; must be text", node)
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:
            # PyYAML lets through what int() and its own tables say of a value that is not of its tag.
            kind = node.tag.rpartition(":")[2]
            raise _refusal(f"{str(node.value)[:_LONGEST_KEY]!r} is no {kind} ({error})", node) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _refusal("must be keys with values", node)
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                quoted = json.dumps(key, ensure_ascii=False, default=str)[:_LONGEST_KEY]
                raise _refusal(f"key {quoted} is read as {type(key).__name__}, not as text; put it in quotes", key_node)
            if len(key) > _LONGEST_KEY:
                raise _refusal(f"a key of {len(key):,} characters; must have {_LONGEST_KEY} at most", key_node)
            if key in seen:
                raise _refusal(f"key {key!r} stands twice; keep one", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def _refusal(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _written_out(node: yaml.Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Return the characters that a node stands for without anchors, and how many lists or sections are in one another.

    Recursion ends with the depth of the text, which is bounded.
    """
    if id(node) not in known:
        # One that holds itself is found out where it is made into values.
        known[id(node)] = (1, 1)
        if isinstance(node, yaml.ScalarNode):
            known[id(node)] = (1 + len(node.value), 0)
        else:
            parts = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
            found = [_written_out(part, known) for part in parts]
            known[id(node)] = (1 + sum(size for size, _ in found), 1 + max((height for _, height in found), default=0))
    return known[id(node)]
