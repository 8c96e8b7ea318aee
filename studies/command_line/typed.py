"""What was typed: made into values, and what is wrong with it told in one sentence."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from typer.core import TyperCommand

from studies.errors import UsageError


def sizes_of(text: str) -> list[int] | str:
    try:
        return text if text == "auto" else [int(word.replace("_", "")) for word in words(text)]
    except ValueError:
        raise UsageError(
            f"--sizes takes whole numbers with commas between them, or auto, not {text!r}"
        ) from None


def seeds_of(text: str) -> int | str:
    try:
        return text if text == "auto" else int(text)
    except ValueError:  # asked itself: what `isdigit` says of "²" is not what `int` says
        raise UsageError(f"--seeds takes a whole number, or auto, not {text!r}") from None


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def told(error: Any, program: str) -> str:
    """An error of typer in one sentence, without the words of the library that it checks values with."""
    message = error.format_message().rstrip(".")
    message = re.sub("^Invalid value for '(.+?)':", r"\1:", message)
    message = message.replace("Value error, ", "").replace("Input should be", "must be")
    message = message.replace("greater than or equal to", "at least").replace("a valid", "a")
    message = message.replace(" integer", " whole number").partition(", unable to parse")[0]
    path = error.ctx.command_path if error.ctx else program
    return f"{message[:1].lower()}{message[1:]}; see {path} --help"


class Command(TyperCommand):
    """A command whose lists are given once: of two `--models` the parser would lose the first in silence.

    An option of one value may come again, as after an alias that has it: the last counts.

    Raises:
        UsageError: a list is given twice.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        *_, given = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(given).items():
            if times > 1 and "," in (parameter.metavar or "") and not parameter.multiple:
                name = max(parameter.opts, key=len)
                raise UsageError(
                    f"{name} is given {times} times: give it once, with all that it is to have, "
                    f"{name} {parameter.metavar}"
                )
        return super().parse_args(ctx, args)
