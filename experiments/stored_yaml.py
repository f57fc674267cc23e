"""YAML that a run folder holds: checked before anything is built from it.

A few lines of YAML can stand for gigabytes, by aliases of aliases, and a nest of
brackets overflows the stack of the parser. Neither is ever written by a run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from engine.intake import IntakeError, read_text

MAX_DEPTH: Final = 64
"""Deepest nest of lists and mappings."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping, with the types that YAML 1.1 gives its values.

    Args:
        path: The file.

    Returns:
        Its content; keys as texts.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no mapping, too large, or cannot be trusted to stay small.
    """
    import yaml  # type: ignore[import-untyped]

    text = read_checked(path)
    try:
        # The parser in C where PyYAML has it: a sweep has thousands of these files.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, TypeError) as error:
        raise IntakeError(str(error)) from error
    if not isinstance(content, dict):
        raise IntakeError("it holds no configuration")
    return {str(key): value for key, value in content.items()}


def read_checked(path: Path) -> str:
    """Read YAML as text, once it is known to be flat and free of aliases.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large or too deep, or holds an alias.
    """
    import yaml

    text = read_text(path)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CLoader", yaml.Loader)):
            if isinstance(event, yaml.AliasEvent):
                raise IntakeError("it holds aliases, which no run writes")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise IntakeError("it is nested too deeply")
    except yaml.YAMLError as error:
        raise IntakeError(" ".join(str(error).split())) from error
    return text
