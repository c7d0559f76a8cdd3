"""The agent that the workflow of a folder (`--code`) gets: an instance of the user's class, whose methods do what
Kaiwu's framework makes of them.

| the workflow, or a method of the agent, calls | then |
|---|---|
| predict, exploit (a list of observations) | an actor predicts; for an agent with a `reset`, this instance does |
| exploit (anything else) | this instance |
| learn, send_sample_data | the samples are copied, and sent to the buffer |
| save_model, load_model | as WorkflowAgent; they take any arguments |
| anything else | runs on this instance, which has the predictor's newest weights |

Each slot has an instance of its own, so what a workflow keeps in it belongs to this slot.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kaimesh.aisrv.links import Links
from kaimesh.aisrv.proxy import WorkflowAgent
from kaimesh.aisrv.stub import Stub, StubPolicy
from kaimesh.config.code import Code
from kaimesh.config.code.generation import G3_BASE
from kaimesh.contract.agent import user_code
from kaimesh.contract.answers import check_answered
from kaimesh.contract.arrays import ArraySpec, Batch, Specs, fields_of
from kaimesh.contract.errors import SampleError
from kaimesh.contract.user_agent import UserAgent
from kaimesh.process.life import Context

MARK = "framework_verb"  # the attribute of a method below one of Kaiwu's decorators (compat/)
_VERBS = ("predict", "exploit", "learn", "send_sample_data", "save_model", "load_model")
_log = logging.getLogger("aisrv")


class HostedAgent(WorkflowAgent):
    """stub: this slot's instance. here: whether it predicts itself, for predictions depend on what it remembers.
    pairs: whether `predict` and `exploit` return (list, version of the model).
    """

    _OWN = WorkflowAgent._OWN | {"_stub", "_here", "_pairs", "_originals", "_fields", "_told"}

    def __init__(self, stub: Stub, *args: Any, here: bool, pairs: bool, **named: Any) -> None:
        super().__init__(stub.user, *args, **named)
        self._stub, self._here, self._pairs = stub, here, pairs
        self._fields: tuple[str, ...] = ()
        self._told: set[str] = set()
        agent: Any = stub.user.agent
        self._originals: dict[str, Callable[..., Any]] = {verb: getattr(agent, verb) for verb in ("predict", "exploit")}
        for verb in _VERBS:  # for calls by the agent's own methods
            setattr(agent, verb, getattr(self, verb))

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The user's class: workflows may ask whose instance it is."""
        return type(self._local)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            self._stub.refresh()
        return super().__getattr__(name)

    def predict(self, list_obs_data: Any, *_args: Any, **_named: Any) -> Any:
        """See the table above."""
        return self._asked("predict", list_obs_data)

    def exploit(self, list_obs_data: Any, *_args: Any, **_named: Any) -> Any:
        """See the table above. list_obs_data: also an observation of the environment itself."""
        if not isinstance(list_obs_data, list | tuple | Batch):
            return self._on_the_stub("exploit", list_obs_data)
        return self._asked("exploit", list_obs_data)

    def learn(self, list_sample_data: Any, *_args: Any, **_named: Any) -> None:
        """See WorkflowAgent.learn. Of samples that differ in their fields or shapes, SampleError says which."""
        if list_sample_data is not None and len(list_sample_data):
            try:
                with user_code("aisrv: SampleData2NumpyData"):
                    super().learn(list_sample_data)
            except SampleError as error:
                raise SampleError(
                    f"aisrv: learn of {type(list_sample_data[0]).__name__}: {error}. Or write a conversion: "
                    "SampleData2NumpyData and NumpyData2SampleData, below @attached."
                ) from error

    def send_sample_data(self, list_sample_data: Any, *_args: Any, **_named: Any) -> None:
        """As `learn`."""
        self.learn(list_sample_data)

    def save_model(self, path: Any = None, id: Any = "1", *_args: Any, **_named: Any) -> None:
        """See WorkflowAgent.save_model."""
        super().save_model(path, id)

    def load_model(self, path: Any = None, id: Any = "latest", *_args: Any, **_named: Any) -> None:
        """See WorkflowAgent.load_model."""
        super().load_model(path, id)

    def _asked(self, verb: str, rows: Any) -> Any:
        if self._here:
            return self._on_the_stub(verb, rows)
        try:
            batch = self._batch_of(rows)
        except SampleError as error:
            self._tell(f"{error} So {self.user.name}.{verb} is called in this process, and not in an actor.")
            return self._on_the_stub(verb, rows)
        answer = self._request(batch, exploit=verb == "exploit")
        return (answer, self._version) if self._pairs else answer

    def _on_the_stub(self, verb: str, rows: Any) -> Any:
        self._stub.refresh()
        with user_code(f"aisrv: {self.user.name}.{verb}"):
            answer = self._originals[verb](rows)
        check_answered(answer, f"{self.user.name}.{verb}")
        self._version = self._stub.version
        return (answer, self._version) if self._pairs and isinstance(rows, list | tuple) else answer

    def _batch_of(self, rows: Sequence[Any]) -> Batch:
        """`rows` as columns. What the first observations had fixes no field for ever: a field that was None may come
        later, and whole numbers may be followed by others.

        Raises SampleError: they cannot travel.
        """
        present = tuple(name for name, value in fields_of(rows[0]).items() if value is not None)
        if self._specs is not None and present == self._fields:
            try:
                return Batch.of(rows, self._specs)
            except SampleError as error:
                self._tell(f"{error} The actor is told of these new fields, and goes on.")
        elif self._fields:
            self._tell(f"observations had the fields {', '.join(self._fields)}, and now {', '.join(present)}.")
        self._fields = present
        self._specs = _wider(self._specs, Specs.of_object(rows[0]))
        return Batch.of(rows, self._specs)

    def _tell(self, text: str) -> None:
        if text not in self._told and len(self._told) < 8:
            self._told.add(text)
            _log.warning("%s", text)


def _wider(before: Specs | None, now: Specs) -> Specs:
    """`now`, with fractions where a field of the same name had some before."""
    kinds = {name: spec.dtype for name, spec in before or ()}

    def dtype(name: str, spec: ArraySpec) -> str:
        had = kinds.get(name, spec.dtype)
        return had if had[1] == "f" and spec.dtype[1] in "biu" else spec.dtype

    return Specs({name: ArraySpec(dtype(name, spec), spec.shape) for name, spec in now})


def hosted(
    users: Sequence[UserAgent],
    links: Links,
    run_ids: Sequence[int],
    code: Code,
    context: Context,
    named: Mapping[str, Any],
) -> list[WorkflowAgent]:
    """The agents of all slots, one of `users` in each. named: more arguments of WorkflowAgent."""
    models, lock = links.models(), threading.Lock()
    agents: list[WorkflowAgent] = []
    for slot, (user, run_id) in enumerate(zip(users, run_ids, strict=True)):
        stub = Stub(user, models, context.meter, lock)
        here = remembers(user)
        policy: Any = StubPolicy(stub) if here else links.policy(slot)
        agents.append(HostedAgent(stub, links, policy, run_id=run_id, here=here, pairs=code.pairs, **named))
    if agents and here:
        context.logger.info(
            "%s.predict runs in this process, an instance for each environment, for it may depend on what `reset` sets",
            users[0].name,
        )
    return agents


def remembers(user: UserAgent) -> bool:
    """Whether the agent's predictions may depend on what it keeps between calls, so that each slot must ask an instance
    of its own: Kaiwu sends `reset` to the predictor, with generation G3's base class always, else where it is
    decorated.
    """
    reset = vars_of(type(user.agent)).get("reset")
    if reset is None:
        return False
    dispatched = any(base.__module__ == G3_BASE for base in type(user.agent).__mro__)
    return dispatched or getattr(reset, MARK, "") == "reset"


def vars_of(kind: type) -> dict[str, Any]:
    """The attributes of a class and of those that it derives from, but for those of compat/."""
    bases = [base for base in reversed(kind.__mro__) if not base.__module__.startswith(("kaiwu", "builtins"))]
    return {name: value for base in bases for name, value in vars(base).items()}
