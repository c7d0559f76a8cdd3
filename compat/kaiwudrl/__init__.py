"""Kaiwu's framework, as far as users' code imports from it.

interface  the base class of generation G3, and records of configurations
common     CONFIG, the monitor's panels, names of train_test.py
server     programs that train_test.py starts
"""
