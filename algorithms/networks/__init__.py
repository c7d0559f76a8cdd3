"""Parts of networks that the algorithms share. Weights are a flat dict, name to array, which forward passes take.

In NumPy, for every process:

torso      describes a torso: its inputs, its layers
layers     initial weights of dense layers, MLPs, the Nature CNN and IMPALA's two
lstm       an LSTM: initial weights, its state, the step that actors make
numpy_mlp  the forward pass of an MLP, for actors: a call costs a tenth of TensorFlow's
library    the operations that a network is built from, once for NumPy and once for TensorFlow
sampling   draws actions and gives their log-probabilities
moments    running mean and variance of observations

In TensorFlow, for learners, and for actors with a CNN:

differentiable  for gradients: torsos, a network along trajectories, log-probabilities and entropies
lstm_unroll     the LSTM along trajectories, with resets where episodes begin
compiled        one forward pass as one concrete function, for actors with a CNN
"""
