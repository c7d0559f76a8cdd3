"""How good a trained model is. Nothing here knows an environment; evaluate.py brings them together.

models    which model is meant
play      the loop over episodes, for native and for Kaiwu-style agents
progress  how far it is
figures   what is said about them, as numbers and as words
picture   the same as a PNG
"""

from kaimesh.evaluation.models import Model, find_model
from kaimesh.evaluation.play import Episode

__all__ = ["Episode", "Model", "find_model"]
