"""The configuration.

config_control  CONFIG
"""
