"""How the search is compiled: functions that Python calls (`entry`), and those that only compiled code calls (`inner`).

An inner function has no wrapper for Python, whose compilation would take longer than its own. One that runs in
every simulation is `inlined`: passing on a tree, some hundred numbers, costs as much as using it.
"""

from functools import partial

from numba import njit

entry = partial(njit, cache=True, error_model="numpy", no_cfunc_wrapper=True)
inner = partial(entry, no_cpython_wrapper=True)
inlined = partial(inner, forceinline=True)
