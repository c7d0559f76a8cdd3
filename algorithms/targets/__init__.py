"""Learning targets: pure TensorFlow functions of time-major trajectories, one file per paper."""
