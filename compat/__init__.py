"""Import names of another framework, Kaiwu's, for agents that were written for it. On the path of their processes only.

These packages import nothing of kaimesh but its public face, and nothing of kaimesh imports them.

kaiwu_agent    generations G1 and G2: the base class, decorators, helpers
kaiwudrl       generation G3's base class, CONFIG, names that configurations and train_test.py use
common_python  generation G3's helpers
tools          helpers of workflows; merged with a folder `tools` of the user's own, which comes first
arena_proto    records of the games
"""
