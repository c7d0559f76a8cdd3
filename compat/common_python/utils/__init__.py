"""Helpers.

common_func                 create_cls, Frame, attached
workflow_disaster_recovery  whether an episode is to be given up
"""
