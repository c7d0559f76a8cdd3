"""The program learner.

learner  main
"""
