"""The training of one agent, used by the learner's process, by an aisrv in local mode, and by train_test.py.

training     counts and checks learns, dumps models with training state, resumes, saves models for the user
state        training state on disk: optimizer and counters, for an exact resume
checkpoint   models on disk
scalars      writes the learner's curves from time to time
tensorboard  writes TensorBoard files
"""

from kaimesh.training.training import Training

__all__ = ["Training"]
