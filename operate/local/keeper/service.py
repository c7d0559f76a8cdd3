"""The keeper's loop: twice a second it looks at every process, and starts, restarts or ends what it must."""

from __future__ import annotations

import os
from typing import Any

from kaimesh.config.roles import KEEPER, LAST_STAGE
from kaimesh.contract.errors import PeerError
from kaimesh.operate.frozen import Frozen
from kaimesh.operate.local import mesh_file
from kaimesh.operate.local.keeper import rules
from kaimesh.operate.local.supervise import ShuttingDown, Supervisor, programs
from kaimesh.operate.view.record import Record, write_result
from kaimesh.operate.view.totals import Totals, curves, totals
from kaimesh.process import disk, hosting
from kaimesh.process.clocks import SteadyClock
from kaimesh.process.documents import publish_json
from kaimesh.process.exits import last_exit, signal_words
from kaimesh.process.life import Context

PERIOD_S = {"starting": 0.2}  # by the mesh's state; else 0.5 s
LAST_EXITS_S = 150.0
ROOM_S = 10.0  # for so long after a full disk has room again, ends of processes are put down to it


class Keeper:
    """See the package. Its whole memory is in mesh.json, so that it can be killed at any time."""

    def __init__(self, context: Context) -> None:
        self.context, self.run_dir, self.meter = context, context.run, context.meter
        self.mesh = self._found()
        self.clock = SteadyClock(self.mesh)  # the run's limits and intervals do not follow the machine's clock
        if self.mesh["state"] == "running" and not self.mesh.get("up"):
            self.mesh["up"] = self.clock()
        if self.mesh["state"] == "ended":  # a signal from outside ended the last keeper, not supervisord's shutdown
            self.mesh.update(state="running" if self.mesh.get("up") else "starting", reason="", end=None)
            context.run.result.unlink(missing_ok=True)
        self.mesh["supervisor"]["pid"] = os.getppid()
        self.supervisor = Supervisor(self.mesh["supervisor"]["socket"])
        self.frozen = Frozen.by(context.config.app, context.run.status)
        self.restarts = rules.Restarts(context.config.app.max_restarts, self.mesh["processes"])
        self.record = Record(context.run)
        self.report_s = context.config.app.report_seconds
        self.statuses: dict[str, dict[str, Any]] = {}
        self.now = self.clock()
        self.current = Totals()
        self._read()
        self.mesh.setdefault("learner_steps_before", self.current.learner_steps)
        self._trouble, self._trouble_until = "", 0.0
        self._held: set[str] = set()  # processes that ended because of a full disk, to be started again
        self._last_record = (self.now, self.current)

    def run(self) -> None:
        """Until supervisord shuts down, which this process may have asked for."""
        while not self.context.stop.wait(PERIOD_S.get(self.mesh["state"], 0.5)):
            self._read()
            try:
                self._turn(self.supervisor.processes())
            except ShuttingDown:
                self._mark_end("stopped")
            except PeerError as error:
                self.context.logger.warning("%s", error)
            self._record()
            self._save()

    def close(self) -> None:
        """Waits for the other processes to end and writes the result. The keeper is the last process of a run."""
        if self._superseded():
            return
        try:
            self.supervisor.processes()
        except ShuttingDown:
            self._mark_end("stopped")
        except PeerError:
            self._mark_end("failed: supervisord is gone; it was killed")
            self._wait_for_last_exits()
        else:
            self.context.logger.warning("told to end although the mesh goes on; supervisord starts the keeper again")
            return
        self._read()
        self.mesh["state"] = "ended"
        self.mesh["ended"] = self.now
        for process in self.mesh["processes"].values():
            process["supervisor"] = "STOPPED"
        self._judge()
        self.run_dir.release()  # so that the files below can be written on a full disk
        self._record(last=True)
        self.record.close()
        try:
            write_result(self.run_dir, self.mesh, self.current, self.now)
        except OSError as error:
            self.context.logger.error("%s was not written (%s)", self.run_dir.result, error)
        self._save()
        self._look_at_the_folder()
        self.context.logger.info("the run has ended: %s", self.mesh["reason"])

    def _look_at_the_folder(self) -> None:
        try:
            if changed := hosting.record(self.context.config, self.run_dir):
                self.context.logger.warning("%s", changed)
        except OSError as error:
            self.context.logger.error("the folder of agents could not be looked at (%s)", error)

    def _found(self) -> dict[str, Any]:
        """mesh.json.

        If it is damaged or of another start, it is made anew from the configuration and this start's order.
        """
        config, order = self.context.config, mesh_file.order_of_this_life()
        mesh = mesh_file.read(self.run_dir)
        if not mesh or (order and mesh.get("start") != order["start"]):
            self.context.logger.warning("%s is damaged or of another start; it is made anew", self.run_dir.mesh)
            nothing = {"started": SteadyClock()(), "limits": {"max_env_steps": 0, "max_seconds": 0}}
            mesh = mesh_file.new(self.run_dir, config, order or nothing)
        mesh.setdefault("reason", "")
        known = mesh["processes"]
        mesh["processes"] = {
            program.name: {**known.get(program.name, {}), **program.entry} for program in programs(config)
        }
        return mesh

    def _superseded(self) -> bool:
        """Whether mesh.json belongs to a newer start, so that this process must not write it any more."""
        mine, found = self.mesh.get("start"), mesh_file.read(self.run_dir).get("start")
        if mine == found or found is None:
            return False
        self.context.logger.warning("another start has taken this run over; ending without writing its files")
        self.context.stop.set()
        return True

    def _save(self) -> None:
        """Writes mesh.json, unless it belongs to a newer start; notes errors of the disk."""
        if self._superseded():
            return
        self.mesh.update(self.clock.stamp())
        self._notice(publish_json(self.run_dir.mesh, self.mesh))

    def _notice(self, trouble: str) -> None:
        if trouble and not self._trouble:
            self.context.logger.error("%s; the mesh waits for room and goes on by itself", trouble)
        elif self._trouble and not trouble:
            self.context.logger.info("the disk takes what is written again")
            self._trouble_until = self.now + ROOM_S
        self._trouble = trouble
        if trouble:
            self.mesh["disk"] = trouble
        else:
            self.mesh.pop("disk", None)

    def _disk_is_to_blame(self) -> bool:
        """Whether a full or failing disk may have ended a process that has just ended, whatever the process said."""
        said = any(status.get("disk") for status in self.statuses.values())
        return bool(self._trouble or said or self.now < self._trouble_until or disk.state(self.run_dir.root))

    def _read(self) -> None:
        self.now = self.clock()
        self.statuses = {name: status for name, status in self.run_dir.statuses().items() if name != KEEPER.first}
        self.current = totals(self.statuses, self.now)
        first = self.current.learner_steps > self.mesh.get("learner_steps_before", self.current.learner_steps)
        if first and not self.mesh.get("first_learn"):
            self.mesh["first_learn"] = {"time": self.now, "env_steps": self.current.env_steps}

    def _turn(self, infos: dict[str, dict[str, Any]]) -> None:
        reason = self._look_at_each(infos)
        self._start_what_was_held(infos)
        if self._trouble and self.mesh["state"] != "stopping":
            self.meter.state("waiting", self._trouble)
            reason = reason or (self._limit() if self.mesh["state"] == "running" else "")
        elif self.mesh["state"] == "starting":
            self._start_next(infos)
        elif self.mesh["state"] == "running":
            self.meter.state("working")
            reason = reason or self._limit() or self._all_finished()
        else:
            self.meter.state("stopping")
            self.supervisor.shutdown()  # an earlier keeper may have died before it gave this order
        if reason and self.mesh["state"] != "stopping":
            self._end(reason)

    def _look_at_each(self, infos: dict[str, dict[str, Any]]) -> str:
        """Notes pids and restarts, starts again what a signal from outside ended; returns why the run has failed, or
        "".
        """
        reason = ""
        for name, process in self.mesh["processes"].items():
            info, status = infos[name], self.statuses.get(name, {})
            if name == KEEPER.first:
                status = {"previous_state": self.meter.info.get("previous_state")}
            if self.restarts.observe(name, info, status, self.now, counts=not self._trouble):
                how = self._how(name)
                told = f" ({signal_words(how) or how})" if how else ""
                self.context.logger.warning(
                    "%s ended unexpectedly%s and was started again (pid %s)", name, told, info["pid"]
                )
            process.update(pid=info["pid"], supervisor=info["statename"], **self.restarts.of(name))
            if name == KEEPER.first:
                continue
            if info["statename"] in ("STARTING", "RUNNING") and (why := self.frozen.look(name, info["pid"], status)):
                self.context.logger.error("%s %s", name, why)
            if why := self._fatal(name, info, status):
                if self._disk_is_to_blame():
                    self._hold(name, why)
                elif name not in self._held and not reason:
                    reason, self.mesh["failed"] = why, name
            if rules.ended_by_a_stranger(info, status):
                self.context.logger.warning("%s was ended by a signal from outside; starting it again", name)
                self.supervisor.start(name, process["role"])
            elif rules.ended_by_itself(info, status):
                self._finished(name, process, info)
        return f"failed: {reason}" if reason else ""

    def _fatal(self, name: str, info: rules.Info, status: rules.Status) -> str:
        too_many = self.restarts.too_many(name, self.now)
        how = self._how(name) if too_many or info["statename"] in ("EXITED", "BACKOFF", "FATAL") else ""
        why = rules.fatal(name, info, status, how) or rules.silent_exit(name, info, status, how)
        return why or (f"{too_many}; the last: {rules.failure_line(info, status, how)}" if too_many else "")

    def _how(self, name: str) -> str:
        return last_exit(self.run_dir.logs / "supervisord.log", name)

    def _hold(self, name: str, why: str) -> None:
        if name not in self._held:
            self._held.add(name)
            self.context.logger.warning("%s; the disk takes nothing, so it is started again once there is room", why)

    def _start_what_was_held(self, infos: dict[str, dict[str, Any]]) -> None:
        if not self._held or self._trouble or disk.state(self.run_dir.root):
            return
        for name in sorted(self._held):
            if infos[name]["statename"] in ("EXITED", "FATAL", "STOPPED"):
                self.supervisor.start(name, self.mesh["processes"][name]["role"])
        self._held.clear()

    def _finished(self, name: str, process: dict[str, Any], info: rules.Info) -> None:
        if not self.context.config.roles[process["role"]].ends:
            self.context.logger.warning("%s ended without a reason; starting it again", name)
            self.supervisor.start(name, process["role"])
        elif name not in self.mesh.setdefault("finished", []):
            self.context.logger.info("%s: its workflow has returned", name)
            self.mesh["finished"].append(name)
            if info["statename"] == "BACKOFF":  # it ended within a second; supervisord would start it again
                self.supervisor.stop(name, process["role"])

    def _start_next(self, infos: dict[str, dict[str, Any]]) -> None:
        """Starts the next stage once all processes of the earlier ones are healthy; after the last the mesh is
        "running".
        """
        roles = self.context.config.roles
        for stage in range(LAST_STAGE + 1):
            late = []
            for name, process in self.mesh["processes"].items():
                if roles[process["role"]].stage != stage or name in self.mesh.get("finished", []):
                    continue
                if rules.never_started(infos[name]):
                    self.supervisor.start(name, process["role"])
                    late.append(name)
                    continue
                info, status, own = infos[name], self.statuses.get(name, {}), bool(roles[process["role"]].own)
                if info["statename"] != "STOPPED" and not rules.healthy(info, status):
                    late.append(rules.in_words(name, info, status, own))
            if late:
                self.meter.state("waiting", f"{', '.join(late)} to be healthy")
                return
        self.mesh.update(state="running", up=self.now)
        self.context.logger.info("the mesh is up after %.1f s", self.now - self.mesh["started"])

    def _limit(self) -> str:
        limits = self.mesh["limits"]
        if limits["max_env_steps"] and self.current.env_steps >= limits["max_env_steps"]:
            return "max_env_steps"
        if limits["max_seconds"] and self.now - self.mesh["up"] >= limits["max_seconds"]:
            return "max_seconds"
        return ""

    def _all_finished(self) -> str:
        roles = self.context.config.roles
        workers = {name for name, process in self.mesh["processes"].items() if roles[process["role"]].ends}
        return "finished" if workers and workers <= set(self.mesh.get("finished", [])) else ""

    def _end(self, reason: str) -> None:
        self._mark_end(reason)
        self.context.logger.info("ending the run: %s", reason)
        self._save()
        self.supervisor.shutdown()

    def _mark_end(self, reason: str) -> None:
        """Notes why and when the run ends; its figures are counted up to now. The first reason holds."""
        self.meter.state("stopping")
        if not self.mesh.get("end"):
            self.mesh.update(state="stopping", reason=reason)
            self.mesh["end"] = {"time": self.now, "env_steps": self.current.env_steps}
            wrapper_type = self.context.config.app.wrapper_type
            self.mesh["end"]["waited"] = rules.waited_for(self.mesh["processes"], self.statuses, wrapper_type)

    def _judge(self) -> None:
        """Makes a run a failed one in which nothing was learned, though nobody stopped it."""
        learns = self.current.learner_steps - self.mesh["learner_steps_before"]
        waited = (self.mesh.get("end") or {}).get("waited", "")
        self.mesh["reason"] = rules.nothing_learned(self.mesh["reason"], learns, waited) or self.mesh["reason"]

    def _wait_for_last_exits(self) -> None:
        mesh_file.wait_for_the_last(self.run_dir, LAST_EXITS_S, but=(KEEPER.first,))

    def _record(self, last: bool = False) -> None:
        before, earlier = self._last_record
        seconds = self.now - before
        if seconds < self.report_s and not (last and (seconds > 1.0 or not self.record.history.exists())):
            return
        rates = {
            f"{name}_per_s": (getattr(self.current, name) - getattr(earlier, name)) / max(seconds, 1e-3)
            for name in ("env_steps", "learner_steps")
        }
        self._last_record = (self.now, self.current)
        self.record.write(self.now, self.current, rates, curves(self.statuses.values()))
