"""What agents' code does with PyTorch while it is imported, made harmless."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable
from typing import Any

from kaimesh.config.code.paths import Paths

_log = logging.getLogger("kaimesh.torch")


def soften(paths: Paths) -> None:
    """Imports PyTorch. From then on, numbers of threads that come too late are logged and change nothing, and `save`
    writes where `paths` leads. Raises ImportError: there is no PyTorch.
    """
    torch: Any = importlib.import_module("torch")  # an extra, which those who check types need not have

    for name in ("set_num_threads", "set_num_interop_threads"):
        setattr(torch, name, _late_is_fine(getattr(torch, name)))
    torch.from_numpy = _tensors_too(torch.from_numpy, torch.Tensor)
    save = torch.save

    @functools.wraps(save)
    def led(obj: Any, f: Any, *args: Any, **named: Any) -> Any:
        place = paths.lead(f)
        paths.own(place, keep=False)
        return save(obj, place, *args, **named)

    torch.save = led


def _tensors_too(function: Callable[[Any], Any], kind: type) -> Callable[[Any], Any]:
    """`from_numpy`, which also takes what is a tensor already, as fields of samples may be."""

    @functools.wraps(function)
    def call(array: Any) -> Any:
        return array if isinstance(array, kind) else function(array)

    return call


def _late_is_fine(function: Callable[[int], None]) -> Callable[[int], None]:
    @functools.wraps(function)
    def call(count: int) -> None:
        try:
            function(count)
        except RuntimeError as error:
            _log.info("%s(%d) has no effect: %s", function.__name__, count, str(error).partition("\n")[0])

    return call
