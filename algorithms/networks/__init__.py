"""Parts of networks that the algorithms share. Weights are a flat dict, name to array; a forward pass is a function of them.

| file | library | what |
|---|---|---|
| `torso` | NumPy | which torso an agent has: what it reads, what it is made of |
| `layers` | NumPy | initial weights of dense layers, MLPs, the Nature CNN and IMPALA's two |
| `lstm` | NumPy | an LSTM: initial weights, its state, the step that actors make |
| `library` | both | what NumPy and TensorFlow each have their own of, so that one definition serves both |
| `numpy_mlp` | NumPy | the forward pass of an MLP, for actors: a call costs a tenth of TensorFlow's |
| `moments` | NumPy | running mean and variance of observations |
| `sampling` | NumPy | draws actions and gives their log-probabilities |
| `torsos` | TensorFlow | the forward passes that gradients flow through |
| `lstm_unroll` | TensorFlow | the LSTM along trajectories, with resets where episodes begin |
| `heads` | TensorFlow | log-probabilities and entropies |
| `compiled` | TensorFlow | one forward pass as one concrete function, for actors with a CNN |
"""
