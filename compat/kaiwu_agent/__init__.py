"""Kaiwu's package for agents of generations G1 and G2.

agent              the base class and its decorators
utils              create_cls, Frame, attached
conf               a game's settings
back_to_the_realm  features of that game
gorge_walk         tables of that game
"""
