"""Parts of networks that the algorithms share. Weights are a flat dict, name to array, which forward passes take.

In NumPy, for every process:

torso      which torso an agent has: what it reads, what it is made of
layers     initial weights of dense layers, MLPs, the Nature CNN and IMPALA's two
lstm       an LSTM: initial weights, its state, the step that actors make
numpy_mlp  the forward pass of an MLP, for actors: a call costs a tenth of TensorFlow's
library    what NumPy and TensorFlow each have their own of, so that one definition of a network serves both
sampling   draws actions and gives their log-probabilities
moments    running mean and variance of observations

In TensorFlow, for learners, and for actors with a CNN:

differentiable  what gradients flow through: torsos, a network along trajectories, log-probabilities and entropies
lstm_unroll     the LSTM along trajectories, with resets where episodes begin
compiled        one forward pass as one concrete function, for actors with a CNN
"""
