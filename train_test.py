#!/usr/bin/env python3
"""The whole remote path in one process, to debug an agent: environments, predictions, Reverb, learner, model pool.

    .venv/bin/python train_test.py                # the algorithm below
    .venv/bin/python train_test.py --algo diy
    .venv/bin/python train_test.py --seed 1       # every role in a fixed order: two runs give the same checkpoint
    bytes,
                                                  # unless the algorithm draws at random from a replay table

The cores are those of the five processes; only sockets and processes are missing, so a breakpoint anywhere works. After
a few real learns it checks that samples flowed, the loss is finite, and a checkpoint was dumped, pooled and loaded by
the actor, then prints `Train test succeed` and exits with 0. Otherwise it ends with the original traceback. Where
nothing moves for `watchdog_seconds` it says what waits for what, and exits with 70; time in a debugger does not count.
"""

import os
import sys
from pathlib import Path

algorithm_name = "ppo"  # a table of conf/algo_conf.toml

if __name__ == "__main__":
    venv = Path(__file__).resolve().parent / ".venv"
    if (venv / "bin/python").exists() and Path(sys.prefix) != venv:
        os.execv(venv / "bin/python", [str(venv / "bin/python"), *sys.argv])
    from kaimesh.operate.serial import main
    from kaimesh.process.guarded import guarded

    code = guarded(lambda: main(algorithm_name, __doc__), "train_test")
    sys.stdout.flush()
    os._exit(code)  # Reverb's threads have nothing left to do
