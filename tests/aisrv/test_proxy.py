"""The agent that a workflow sees, over links that check what they receive; and the on-policy gate with real threads."""

from __future__ import annotations

import contextlib
import logging
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kaimesh.aisrv.links import UserSaves
from kaimesh.aisrv.proxy import OnPolicyGate, WorkflowAgent
from kaimesh.contract.arrays import Batch
from kaimesh.contract.columns import MODEL_VERSION, RUN_ID
from kaimesh.contract.errors import MeshError, PeerError, Refused, SampleError, Stopped
from kaimesh.contract.structs import create_cls
from kaimesh.contract.user_agent import read_agent
from kaimesh.process.disk import DiskTrouble
from kaimesh.process.meter import Meter

ObsData = create_cls("ObsData", feature=None, legal_act=None)
SampleData = create_cls("SampleData", feature=None, reward=None)


class Policy:
    """Doubles the feature; its answer is overwritten by the next one, as a receive buffer is."""

    def __init__(self) -> None:
        self.asked: list[tuple[Batch, bool]] = []
        self.model = 3
        self._answer = np.zeros((1, 2), np.float32)

    def send(self, batch: Batch, exploit: bool = False, model: int | str = "latest") -> None:
        assert model == "latest"
        self.asked.append((batch, exploit))
        self._answer[:] = batch.feature * 2

    def receive(self) -> tuple[Batch, int]:
        return Batch({"action": self._answer}), self.model

    def load_model(self, id: int | str) -> int:
        self.model = 9 if id == "latest" else int(id)
        return self.model

    def version(self) -> int:
        return self.model


class Sender:
    def __init__(self) -> None:
        self.sent: list[Batch] = []
        self.flushed = 0

    def put(self, batch: Batch) -> None:
        self.sent.append(Batch({name: column.copy() for name, column in batch.columns.items()}))

    def flush(self, timeout_s: float) -> bool:
        assert timeout_s > 0
        self.flushed += 1
        return True


def links() -> Any:
    saves: list[int] = []
    return SimpleNamespace(sender=Sender(), saves=saves, save_model=lambda: saves.append(1))


def remote(**overrides: Any) -> WorkflowAgent:
    arguments: dict[str, Any] = {"run_id": 5, "send_size": 2, "gate": None, **overrides}
    connected = arguments.pop("links", None) or links()
    arguments.setdefault("save", UserSaves(connected.save_model, logging.getLogger("aisrv"), Meter("aisrv_0")))
    user = read_agent(SimpleNamespace(epsilon=0.1, helper=lambda x: x + 1))
    return WorkflowAgent(user, connected, Policy(), **arguments)


def test_predictions_are_the_users_to_keep() -> None:
    agent = remote()
    first = agent.predict([ObsData(feature=[1.0, 2.0])])[0]
    agent.predict([ObsData(feature=[5.0, 5.0])])
    np.testing.assert_array_equal(first.action, [2.0, 4.0])


def test_exploit_is_another_question() -> None:
    agent = remote()
    agent.exploit([ObsData(feature=[1.0, 2.0])])
    batch, exploit = agent._policy.asked[0]
    assert exploit
    assert tuple(batch.columns) == ("feature", RUN_ID)


def test_an_observation_of_another_shape_is_refused_with_both_shapes() -> None:
    agent = remote()
    agent.predict([ObsData(feature=[1.0, 2.0])])
    with pytest.raises(SampleError, match=r"'feature' has shape \(3,\); the declared shape is \(2,\)"):
        agent.predict([ObsData(feature=[1.0, 2.0, 3.0])])


def test_learn_sends_copies_in_pieces_with_version_and_life() -> None:
    agent = remote()
    agent.predict([ObsData(feature=[1.0, 2.0])])
    rows = [SampleData(feature=np.full(2, i, np.float32), reward=float(i)) for i in range(5)]
    assert agent.learn(rows) is None
    for row in rows:
        row.feature[:] = -1  # callers reuse what they gave
    sent = agent._links.sender.sent
    assert [len(batch) for batch in sent] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([b.reward for b in sent]), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(sent[2].feature, [[4, 4]])
    assert {int(v) for b in sent for v in b.columns[MODEL_VERSION]} == {3}
    assert {int(v) for b in sent for v in b.columns[RUN_ID]} == {5}


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_learn_of_nothing_sends_nothing(nothing: Any) -> None:
    agent = remote()
    agent.learn(nothing)
    assert agent._links.sender.sent == []


def test_the_rest_is_the_local_instance() -> None:
    agent = remote()
    assert agent.helper(1) == 2
    agent.epsilon = 0.5
    assert agent._local.epsilon == 0.5
    agent.save_model(path="/nowhere", id="7")
    assert agent._links.saves == [1]
    agent.load_model(id="latest")
    agent.learn([SampleData(feature=[0.0], reward=1.0)])
    assert int(agent._links.sender.sent[0].columns[MODEL_VERSION][0]) == 9


def test_the_gate_holds_until_the_next_version_and_only_after_the_share() -> None:
    gate = OnPolicyGate(4, threading.Event(), Meter("aisrv_0"))
    mesh, version = links(), [0]
    gate.pass_through(3, 0, mesh, lambda: version[0])
    assert mesh.sender.flushed == 0
    held = threading.Thread(target=gate.pass_through, args=(1, 0, mesh, lambda: version[0]))
    held.start()
    held.join(0.1)
    assert held.is_alive()
    version[0] = 1
    held.join(5)
    assert not held.is_alive()
    assert mesh.sender.flushed == 1


def held_gate(answers: list[int | Exception]) -> tuple[threading.Thread, list[int], Meter, threading.Event]:
    """A gate that waits for model 1. Asking what the learner lacks, it hears `answers`, then the last one for ever."""
    stop, meter, version, mesh = threading.Event(), Meter("aisrv_0"), [0], links()

    def short(of: int) -> int:
        assert of == 0
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    mesh.samples_short = short
    gate = OnPolicyGate(4, stop, meter, ask_s=0.01)

    def run() -> None:
        with contextlib.suppress(Stopped):
            gate.pass_through(4, 0, mesh, lambda: version[0])

    held = threading.Thread(target=run, daemon=True)
    held.start()
    return held, version, meter, stop


def test_a_gate_and_a_learner_that_wait_for_each_other_end_it_in_words(caplog: pytest.LogCaptureFixture) -> None:
    held, _, meter, _ = held_gate([0, PeerError("127.0.0.1:9997 does not answer"), 3, 2, 2])
    held.join(5)
    assert not held.is_alive()
    assert meter.counters["on_policy_refills"] == 1
    assert "sent 4 samples of model 0 and waits for model 1; the learner lacks 2 samples of model 0" in caplog.text


@pytest.mark.parametrize("answers", [[0], [PeerError("gone")], [5, 4, 3, 2, 1, 0]])
def test_a_gate_whose_learner_learns_or_is_gone_or_still_gets_samples_stays_shut(answers: list) -> None:
    held, version, meter, _ = held_gate(answers)
    held.join(0.2)
    assert held.is_alive()
    assert "on_policy_refills" not in meter.counters
    version[0] = 1
    held.join(5)
    assert not held.is_alive()


def test_a_held_gate_ends_with_the_mesh() -> None:
    stop = threading.Event()
    gate = OnPolicyGate(1, stop, Meter("aisrv_0"))
    stop.set()
    with pytest.raises(Stopped):
        gate.pass_through(1, 0, links(), lambda: 0)


def test_a_stop_finds_every_piece_of_a_long_list_offered() -> None:
    """So that the sender can count what it no longer takes."""
    mesh, offered = links(), []

    def put(batch: Batch) -> None:
        offered.append(len(batch))
        raise Stopped

    mesh.sender.put = put
    agent = remote(links=mesh)
    with pytest.raises(Stopped):
        agent.learn([SampleData(feature=np.zeros(2), reward=0.0)] * 5)
    assert offered == [2, 2, 1]


@pytest.mark.parametrize(
    "error",
    [Refused("user_save_mode_max_count = 200"), PeerError("the learner is gone"), DiskTrouble("no space is left")],
)
def test_a_save_that_is_refused_ends_no_workflow_and_is_told_once(
    error: MeshError, caplog: pytest.LogCaptureFixture
) -> None:
    def save() -> int:
        raise error

    meter = Meter("aisrv_0")
    saves = UserSaves(save, logging.getLogger("aisrv"), meter)
    agents = [remote(save=saves), remote(save=saves)]
    for agent in agents * 3:
        agent.save_model()
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert str(error) in warnings[0]
    assert meter.counters["user_saves_refused"] == 6


def test_a_bug_in_a_save_is_no_refusal() -> None:
    def save() -> int:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        remote(save=UserSaves(save, logging.getLogger("aisrv"), Meter("aisrv_0"))).save_model()
