"""What train_test.py of generation G3 calls."""

from __future__ import annotations

from typing import Any


def run_train_test(algorithm_name: str = "", algorithm_name_list: Any = (), env_vars: Any = None, **named: Any) -> None:
    """Says how to test a folder here, and ends the program."""
    del algorithm_name_list, env_vars, named
    raise SystemExit(f"run kaimesh's own train_test.py on this folder: --code <this folder> --algo {algorithm_name}")
