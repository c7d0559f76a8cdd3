"""One agent's training, wherever it runs: the learner's process, an aisrv in local mode, train_test.py.

training     learns counted and checked, dumps with training state, resume, user saves
state        what an agent needs besides its weights to go on exactly
checkpoint   models on disk
scalars      the curves of a training
tensorboard  writes curves
"""

from kaimesh.training.training import Training

__all__ = ["Training"]
