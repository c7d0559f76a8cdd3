"""Panels of users' metrics.

monitor_config_builder  MonitorConfigBuilder
"""
