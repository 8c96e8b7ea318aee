"""Study files as they are written: finding and reading them, nothing validated.

What lists studies needs no more, and starts in half the time without the classes of a study.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from studies.errors import UsageError
from studies.machine.files import TOO_DEEP, check_depth, file_bytes
from studies.study.suggestion import suggestion

DEFINITIONS = Path(__file__).parent / "definitions"


def built_in() -> dict[str, Path]:
    """The studies that come with the project, by name."""
    return {path.stem: path for path in sorted(DEFINITIONS.glob("*.toml"))}


def read(study: str) -> dict[str, Any]:
    """Read a study's raw content, from a built-in name or the path of a TOML file.

    Raises:
        UsageError: there is no such study, or the file is not TOML.
    """
    known = built_in()
    path = known.get(study) or Path(study).expanduser()
    if study not in known and not study.endswith(".toml"):
        hint = suggestion(study, known)
        raise UsageError(
            f"unknown study {study!r}{hint}; built in: {', '.join(known)}; "
            f"or give the path of a .toml file"
        )
    try:
        raw = content_of(path)
    except OSError as error:
        raise UsageError(f"cannot read the study file {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"the study file {path} is not valid TOML: {error}") from error
    raw.setdefault("name", path.stem)
    return raw


def content_of(path: Path) -> dict[str, Any]:
    """A file's content; raises OSError or ValueError where it is none of TOML."""
    try:
        content = tomllib.loads(file_bytes(path).decode())
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    check_depth(content)
    return content
