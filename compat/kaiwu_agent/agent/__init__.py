"""The base class of agents.

base_agent  BaseAgent and the decorators of its methods
protocol    the user's functions, by name
"""
