"""How settings are declared: once, as frozen keyword-only dataclasses next to the science that uses them.

Bounds are `annotated_types` metadata and units are in the attribute docstrings. The study
configuration composes these classes and validates them strictly; a notebook builds them directly.
"""

from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """Turn a class into a frozen, keyword-only dataclass that pydantic validates strictly."""
    config: dict[str, Any] = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}
    cls.__pydantic_config__ = config  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)
