"""Helpers for the user's structs and functions; they are kaimesh's own."""

from kaimesh.agent import Frame, attached, create_cls

__all__ = ["Frame", "attached", "create_cls"]
