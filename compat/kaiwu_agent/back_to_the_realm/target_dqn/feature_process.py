"""Helpers for observations of back_to_the_realm."""

from ..feature_process import bump, one_hot_encoding, read_relative_position

__all__ = ["bump", "one_hot_encoding", "read_relative_position"]
