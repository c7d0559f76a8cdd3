"""Constants of MuZero's network, for NumPy, TensorFlow and compiled code alike.

They are here because compiled code holds them, and is made anew when a file of this folder changes.
"""

SCALING_EPSILON = 1e-5  # added to the range of a latent state before it is scaled to 0..1
TRANSFORM_EPSILON = 0.001  # of h(x) = sign(x) (sqrt(|x| + 1) - 1) + 0.001 x, arXiv:1805.11593, equation 1.1
