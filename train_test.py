#!/usr/bin/env python3
"""The whole remote path in one process, to debug an agent: environments,
predictions, Reverb, learner, model pool.

    .venv/bin/python train_test.py             # the algorithm below
    .venv/bin/python train_test.py --algo diy
    .venv/bin/python train_test.py --seed 1    # in a fixed order

With a seed, two runs give the same bytes in their checkpoints, unless the
algorithm draws at random from a replay table.

First it tries out the environment for a few steps, as a start does, in a
process of its own. The rest is the code of the five processes; only sockets
and processes are missing, so a breakpoint works anywhere. After a few learns
it checks that samples reached the buffer, that the metrics are finite, and
that a checkpoint was dumped, pushed to the pool and loaded by the actor. Then
it prints `Train test succeed` and exits with 0. If the agent raises, it ends
with the original traceback. If nothing happens for `watchdog_seconds`, it
prints what waits for what, and exits with 70; time in a debugger does not
count.
"""

import os
import sys
from pathlib import Path

algorithm_name = "ppo"  # a table of conf/algo_conf.toml

if __name__ == "__main__":
    venv = Path(__file__).resolve().parent / ".venv"
    if (venv / "bin/python").exists() and Path(sys.prefix) != venv:
        os.execv(venv / "bin/python", [str(venv / "bin/python"), *sys.argv])
    from kaimesh.operate.train_test import main
    from kaimesh.process.guarded import guarded

    code = guarded(lambda: main(algorithm_name, __doc__), "train_test")
    sys.stdout.flush()
    os._exit(code)  # a normal exit would wait for Reverb's threads
