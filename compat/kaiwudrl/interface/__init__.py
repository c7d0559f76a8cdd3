"""What users' classes derive from.

agent       BaseAgent of generation G3
state       State
action      Action, ActionSpec
array_spec  ArraySpec
"""
