"""A service that counts instead of training. The test tells it how to behave by files in the run's directory.

`<name>.do`, or from the start the variable `DO_<name>`, holds one word: raise (as a user's agent does), crash, return,
unhealthy, slow (to end), wait, exit0 (as a library's exit does), sys.exit, or a signal's name (of which the process
dies, once).
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from kaimesh.contract.agent import user_code  # noqa: E402
from kaimesh.process.life import Context, main  # noqa: E402


class Service:
    def __init__(self, context: Context) -> None:
        self.context, self.meter = context, context.meter
        self.role = context.name.rpartition("_")[0]

    def order(self) -> str:
        path = self.context.run.root / f"{self.context.name}.do"
        return path.read_text().strip() if path.exists() else os.environ.get(f"DO_{self.context.name}", "")

    def run(self) -> None:
        while not self.context.stop.wait(0.02):
            order = self.order()
            if order == "raise":
                with user_code("learner: Agent.learn"):
                    raise ValueError("a marked failure")
            if order == "crash":
                raise RuntimeError("a crash")
            if order == "return":
                return
            if order == "exit0":
                os._exit(0)
            if order == "sys.exit":
                sys.exit(0)
            if order.startswith("SIG"):
                self.die(order)
            if order == "unhealthy":
                self.meter.beat()
                continue
            if order == "wait":
                self.meter.state("waiting", "buffer: 30 of 64 samples")
                continue
            self.work()

    def die(self, name: str) -> None:
        """As compiled code does, where compiled code does it; SIGABRT as C's abort."""
        (self.context.run.root / f"{self.context.name}.do").unlink()
        if name == "SIGSEGV":
            ctypes.string_at(0)
        if name == "SIGABRT":
            ctypes.CDLL(None).abort()
        os.kill(os.getpid(), signal.Signals[name])
        time.sleep(5)

    def work(self) -> None:
        self.meter.state("working")
        if self.role == "aisrv":
            self.meter.count("env_steps", 10)
            self.meter.episode(1.5, 10)
        if self.role == "learner" or self.context.config.app.wrapper_type == "local":
            self.meter.count("learner_steps")
            self.meter.count("policy_lag_sum", 2)
            self.meter.count("policy_lag_count")
            self.meter.info["model_version"] = int(self.meter.counters["learner_steps"])
            self.meter.gauge("learn/loss", 0.5)

    def close(self) -> None:
        if self.order() == "slow":
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:
                self.meter.beat()
        ends = self.context.run.root / "ends.txt"
        with ends.open("a") as file:
            file.write(f"{self.context.name}\n")


if __name__ == "__main__":
    main(sys.argv.pop(1), "fake_service.Service")
