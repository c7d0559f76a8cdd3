"""What processes share.

config      CONFIG
algorithms  distributions that configurations name
monitor     panels of users' metrics
utils       what train_test.py uses
"""
