"""Which part of the toy breaks; `--set toy.fault=learn`."""

from __future__ import annotations


class Config:
    """Hyper-parameters of the toys."""

    fault = ""  # where it breaks, see toy.py
    seed = 0
