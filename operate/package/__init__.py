"""Packages of a folder of agents (`--code`): made, and looked at as whoever gets one would.

A package is what Kaiwu's platform takes: a zip with kaiwu.json, conf/, the agents' folders, and ckpt/ with one model.

contents  which files belong into a package, and its model
writing   makes the zip
reading   unpacks one that anybody may have made, and says what it lacks
trial     one unpacked package in a process of its own: imports, loads its model, predicts
verify    all of that and an evaluation, told step by step
"""
