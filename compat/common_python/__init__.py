"""Kaiwu's helpers of generation G3.

utils  helpers
"""
