"""When a process is healthy, has finished, or is a reason to end the run.

`info` is what supervisord knows of a process (statename, pid, exitstatus, spawnerr; start and now, by its own clock),
`status` what it published last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaimesh.config.roles import ROLES
from kaimesh.contract.errors import EXIT_AGENT, EXIT_CONFIG, EXIT_OK
from kaimesh.process.clocks import age_s
from kaimesh.process.exits import signal_words

Info = Mapping[str, Any]
Status = Mapping[str, Any]
WINDOW_S = 600.0
_WHOLE_S = 1.0  # supervisord tells times in whole seconds
SILENT_S = 20.0  # a process that runs kaimesh.process.life has published a state long before


def healthy(info: Info, status: Status) -> bool:
    """Whether the process has completed its start; a status of an earlier pid does not count.

    Waiting for others is healthy.
    """
    return bool(
        info["pid"] and status.get("pid") == info["pid"] and status.get("state") not in ("starting", "failed", None)
    )


def in_words(name: str, info: Info, status: Status, own: bool) -> str:
    """`name`, a process that is not healthy yet; where a user's own has published nothing, with what it lacks."""
    lives_s = info["now"] - info["start"]
    silent = status.get("pid") != info["pid"] and info["statename"] == "RUNNING" and lives_s > SILENT_S
    if own and silent:
        return f"{name} (which publishes no state; does it call kaimesh.process.life.main?)"
    return name


def never_started(info: Info) -> bool:
    """Whether supervisord was never told to start it; false for a process that the user stopped."""
    return info["statename"] == "STOPPED" and not info["start"]


def fatal(name: str, info: Info, status: Status, how: str = "") -> str:
    """Why this process ends the run, or "". how: how it ended (kaimesh.process.exits.last_exit).

    Exit codes 2 and 3 (configuration, user's code) would come again after a restart. For supervisord a process that
    ends within a second is in state BACKOFF whatever its exit code, so the code in its status file counts, too.
    """
    if info["statename"] == "EXITED" and info["exitstatus"] in (EXIT_CONFIG, EXIT_AGENT):
        return f"{name}: {failure_line(info, status, how)}"
    if info["statename"] == "BACKOFF" and status.get("exit_code") in (EXIT_CONFIG, EXIT_AGENT):
        return f"{name}: {failure_line(info, status, how)}"
    if info["statename"] == "FATAL":
        return f"{name} ends again and again just after its start: {failure_line(info, status, how)}"
    return ""


def silent_exit(name: str, info: Info, status: Status, how: str = "") -> str:
    """Why the run ends, if a process ended with exit code 0 without the state "done"; else "".

    Some code inside it called exit: os._exit in an environment, or exit() in a library. A restart would end the same
    way.
    """
    over = info["statename"] == "EXITED" and info["exitstatus"] == EXIT_OK
    if not over and not (info["statename"] == "BACKOFF" and how == "exit status 0"):
        return ""
    if _of_this_life(info, status) and (status.get("state") == "done" or "signal" in status):
        return ""
    return f"{name}: {SILENT}"


def _of_this_life(info: Info, status: Status) -> bool:
    """Whether the process that supervisord started last has published `status`, and not one before it.

    That is told by for how long each of both has lived: the machine's clock may have been set meanwhile.
    """
    lived_s = status.get("up_s", 0.0) + age_s(status, info["now"])
    return bool(lived_s <= info["now"] - info["start"] + _WHOLE_S)


SILENT = (
    "it ended with exit code 0, but its work was not done: something inside it called exit, such as os._exit in the "
    "environment, the agent or a library of theirs"
)


def failure_line(info: Info, status: Status, how: str = "") -> str:
    """Why a process ended, in one line. how: as of `fatal`."""
    if words := signal_words(how):  # a signal left it no time to say why; its status is older
        return words
    if status.get("state") == "failed" and status.get("blocked_on"):
        return str(status["blocked_on"]).splitlines()[0]
    if how == "exit status 0":
        return SILENT
    code = info["exitstatus"] or status.get("exit_code") or int(how.removeprefix("exit status ") or 0)
    return f"exit code {code}, see its log" if code else f"{info['spawnerr'] or 'killed'}, see its log"


def ended_by_itself(info: Info, status: Status) -> bool:
    """Whether a process ended with exit code 0 because its work was done, and not because of a stop or a signal."""
    quick = info["statename"] == "BACKOFF" and status.get("exit_code") == EXIT_OK and status.get("state") == "done"
    over = info["statename"] == "EXITED" and info["exitstatus"] == EXIT_OK and status.get("state") == "done"
    return (quick or over) and "signal" not in status


def ended_by_a_stranger(info: Info, status: Status) -> bool:
    """Whether a signal from outside the mesh ended the process.

    It ends cleanly then, so supervisord does not restart it.
    """
    return info["statename"] == "EXITED" and info["exitstatus"] == EXIT_OK and "signal" in status


def waited_for(processes: Mapping[str, Mapping[str, Any]], statuses: Mapping[str, Status], wrapper_type: str) -> str:
    """What the processes that learn are waiting for, in words; "" if none of them is on this machine."""
    learning = {role.name for role in ROLES.values() if wrapper_type in role.learns_in}
    words = []
    for name in (name for name, process in processes.items() if process["role"] in learning):
        status = statuses.get(name, {})
        state, what = status.get("state", "not started"), status.get("blocked_on")
        words.append(f"{name} {f'waited for {what}' if state == 'waiting' and what else f'was {state}'}")
    return "; ".join(words)


def nothing_learned(reason: str, learns: int, waited: str) -> str:
    """Why a run that ended for `reason` has failed although nothing went wrong: it made no `learns`; else "".

    waited: what `waited_for` said at its end.
    """
    if learns > 0 or reason not in ("max_env_steps", "max_seconds", "finished") or not waited:
        return ""
    return f"failed: nothing was learned: {waited} (the end was: {reason})"


class Restarts:
    """Counts the unexpected ends of each process: it has a new pid, and the old one had not ended cleanly.

    times: of all of them. excused: of those that do not count towards the limit. Both by process.
    """

    def __init__(self, limit: int, known: Mapping[str, Mapping[str, Any]]) -> None:
        self.limit = limit
        self._pids = {name: process.get("pid", 0) for name, process in known.items()}
        self.times: dict[str, list[float]] = {name: list(p.get("restarts", [])) for name, p in known.items()}
        self.excused: dict[str, list[float]] = {name: list(p.get("excused", [])) for name, p in known.items()}

    def observe(self, name: str, info: Info, status: Status, now: float, *, counts: bool = True) -> bool:
        """Notes the present pid; returns whether this is a restart after an unexpected end, and counts it then.

        counts: whether it counts towards the limit, too; an end that a full disk caused does not.
        """
        pid, before = info["pid"], self._pids.get(name, 0)
        if not pid or pid == before:
            return False
        self._pids[name] = pid
        last_state = status.get("state") if status.get("pid") == before else status.get("previous_state")
        if not before or last_state == "done":
            return False
        self.times.setdefault(name, []).append(now)
        if not counts:
            self.excused.setdefault(name, []).append(now)
        return True

    def of(self, name: str) -> dict[str, list[float]]:
        """What mesh.json keeps of it."""
        return {"restarts": self.times.get(name, []), "excused": self.excused.get(name, [])}

    def too_many(self, name: str, now: float) -> str:
        """Why the run ends, where `name` ended unexpectedly more than `limit` times in ten minutes; else ""."""
        excused = self.excused.get(name, [])
        recent = [time for time in self.times.get(name, []) if now - time < WINDOW_S and time not in excused]
        if len(recent) <= self.limit:
            return ""
        return f"{name} ended unexpectedly {len(recent)} times within ten minutes (max_restarts = {self.limit})"
