"""The numbers of this agent.

`[diy.presets]` in conf/algo_conf.toml overrides them for some environments, and the start says which; `[diy]` in
conf/configure_app.toml and `--set diy.GAMMA=0.995` override both. The width of an observation
is read from the first one.
"""

from __future__ import annotations


class Config:
    """Hyper-parameters; as delivered they suit gym:CartPole-v1."""

    WORLD = 128  # cells per side of the Realm's world

    # The network
    HIDDEN = 64  # units in each of two layers
    LEARNING_RATE = 1e-3
    MAX_GRADIENT_NORM = 0.5

    # PPO (arXiv 1707.06347)
    GAMMA = 0.99  # discount per step
    LAMBDA = 0.95  # of the advantages, see algorithm/gae.py
    CLIP = 0.2
    VALUE_COEFFICIENT = 0.5
    ENTROPY_COEFFICIENT = 0.01
    EPOCHS = 6  # passes over each batch
    MINIBATCH = 128  # steps in one gradient step

    # Samples: T, the steps in one sample. A shorter rest of an episode is padded to it. In local mode one learn call
    # carries at least STEPS_PER_LEARN steps; in remote mode samples leave at once, and the learner's batch is
    # train_batch_size of them.
    TRAJECTORY = 64
    STEPS_PER_LEARN = 512

    # Saves that the workflow asks for (the mesh's own dumps are its own business)
    SAVE_SECONDS = 300.0
    KEEP_SAVES = 5

    seed = 1  # set from random_seed

    @classmethod
    def check(cls) -> list[str]:
        """Contradictions, each in a sentence; the mesh shows them, with the table's name, before it starts anything."""
        problems = []
        if not 0 < cls.GAMMA <= 1:
            problems.append(f"GAMMA = {cls.GAMMA} is not in (0, 1]; returns would grow without bound.")
        above_0 = ("WORLD", "HIDDEN", "LEARNING_RATE", "MAX_GRADIENT_NORM", "CLIP", "STEPS_PER_LEARN", "KEEP_SAVES")
        for name in above_0:
            if not getattr(cls, name) > (1e-12 if name == "LEARNING_RATE" else 0):
                problems.append(f"{name} = {getattr(cls, name)}: nothing would be learned. Set it above 0.")
        if cls.TRAJECTORY < 1 or cls.MINIBATCH < 1 or cls.EPOCHS < 1:
            problems.append("TRAJECTORY, MINIBATCH and EPOCHS must be at least 1; nothing would be learned.")
        return problems
