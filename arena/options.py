"""Options of tools/evaluate.sh that one environment has and others do not (`EvaluationOption` in envs/interface.py)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from kaimesh import envs
from kaimesh.contract.errors import ConfigError


def read(app: str, words: Sequence[str]) -> dict[str, Any]:
    """Keys of env_conf, from the words of the command line that mean nothing to an evaluation of any environment.

    Raises ConfigError: `app` has no such option, or the option does not take that value.
    """
    if not words:
        return {}
    options = envs.offers(app).evaluation_options()
    parser = _Parser(app, add_help=False, argument_default=argparse.SUPPRESS)
    for option in options:
        parser.add_argument(option.flag, dest=option.flag)
    typed = vars(parser.parse_args(words))
    changes: dict[str, Any] = {}
    for option in options:
        if option.flag in typed:
            changes |= option.changes(typed[option.flag])
    return changes


def described(app: str | None) -> str:
    """The options of `app` for the end of a help text; None: where to find them."""
    if app is None:
        return "An environment may have options of its own: --app NAME --help lists them too.\n"
    options = envs.offers(app).evaluation_options()
    if not options:
        return f"{app} has no options of its own.\n"
    return f"options of {app}:\n" + "".join(f"  {one.flag} {one.metavar}  {one.help}\n" for one in options)


class _Parser(argparse.ArgumentParser):
    """Raises ConfigError where argparse would end the process."""

    def __init__(self, app: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._app = app

    def error(self, message: str) -> NoReturn:
        raise ConfigError(
            f"{message}, so nothing was played. See --help for what every environment takes; "
            f"{described(self._app).strip()}"
        )
