"""The native algorithms: one package each (the same file names in every one), on shared parts.

- `targets/`: pure functions from trajectories to learning targets, one file per paper.
- `networks/`: initial weights, torsos, heads and sampling; NumPy where the actor runs it, TensorFlow where gradients flow.
- `adam`, `weights`: the optimizer, and the file that a model is saved in.
- `ppo/`: agent, config, model, losses, learning.

An algorithm knows arrays only: no environment, no service, no network connection.
"""
