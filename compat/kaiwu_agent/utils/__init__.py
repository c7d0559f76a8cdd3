"""Helpers.

common_func  create_cls, Frame, attached
"""
