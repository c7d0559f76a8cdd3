"""A fix for a leak: on Python 3.11 every eager tensor of TensorFlow 2.15 leaves 48 bytes behind."""

from __future__ import annotations

import ctypes
import logging
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_MODULE = "tensorflow.python.framework.ops"
_MANAGED_DICT = 1 << 4  # Py_TPFLAGS_MANAGED_DICT: the attributes lie before the object, not at its dictoffset
_BASICSIZE, _FLAGS, _DICTOFFSET, _NEW = 4, 21, 36, 39  # words of CPython 3.11's PyTypeObject, Include/cpython/object.h
_log = logging.getLogger("kaimesh.process.tensors")


def stop_tensor_leak() -> None:
    """Stops the leak in this process: now if TensorFlow is imported already, else as soon as it is.

    EagerTensor derives from a Python class. On Python 3.11 `object.__new__` allocates a 48-byte block for the
    attributes of such an object, and TensorFlow 2.15 never frees it (EagerTensor_dealloc in
    python/eager/pywrap_tensor.cc does not know of it; tensorflow/tensorflow#62551). This makes PyType_GenericNew create
    tensors instead: the same object without that block. Attributes set on a tensor still work; they are kept in an
    ordinary dict.
    """
    if _MODULE in sys.modules:
        _mend(sys.modules[_MODULE])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _mend(ops: ModuleType) -> None:
    tensor: type = ops.EagerTensor
    if not (platform.python_implementation() == "CPython" and sys.version_info[:2] == (3, 11)):
        return  # other versions allocate and free attributes in other ways
    generic_new = ctypes.cast(ctypes.pythonapi.PyType_GenericNew, ctypes.c_void_p).value or 0
    words, plain = _words(tensor), _words(object)
    if words[_NEW] == generic_new:
        return
    as_read = (words[_BASICSIZE], words[_FLAGS], words[_DICTOFFSET])
    as_told = (tensor.__basicsize__, tensor.__flags__, tensor.__dictoffset__)
    if as_read != as_told or words[_NEW] != plain[_NEW] or not tensor.__flags__ & _MANAGED_DICT:
        _log.warning("TensorFlow's EagerTensor is not as expected; it is left alone, and may leak 48 bytes a tensor")
        return
    words[_NEW] = generic_new


def _words(cls: type) -> ctypes.Array[ctypes.c_ssize_t]:
    """The memory of the class object itself, as machine words."""
    return (ctypes.c_ssize_t * (_NEW + 1)).from_address(id(cls))


class _Finder(MetaPathFinder):
    """Finds the module that defines EagerTensor, as Python itself would, and applies the fix once it is loaded."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """See importlib; None for all other modules."""
        if name != _MODULE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenMend(spec.loader)
        return spec


class _ThenMend(Loader):
    """Wraps the module's loader: applies the fix after loading, and leaves all else to the original loader."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See importlib."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """See importlib."""
        run: Callable[[ModuleType], None] = self._loader.exec_module
        run(module)
        _mend(module)
