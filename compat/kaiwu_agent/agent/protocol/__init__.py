"""The user's functions, by name.

protocol  observation_process, action_process, sample_process, and the converters of samples
"""
