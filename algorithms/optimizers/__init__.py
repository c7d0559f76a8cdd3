"""Optimizers, over weights by name.

adam     arXiv:1412.6980
rmsprop  as IMPALA's paper has it
"""
