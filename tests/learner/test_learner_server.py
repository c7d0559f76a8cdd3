"""The learner's port: saves are made by the thread that trains."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from kaimesh.contract.errors import AgentError, MeshError, PeerError, Refused
from kaimesh.learner import learner_pb2 as pb
from kaimesh.learner.client import LearnerClient
from kaimesh.learner.server import LearnerServer

WAIT_S = 60.0


class Learner:
    """A served learner whose `turn` is one turn of the training thread's loop."""

    def __init__(self) -> None:
        self.server = LearnerServer(self.status, logging.getLogger("learner"))
        self.port = self.server.start("127.0.0.1:0", "secret")
        self.saved_by: list[str] = []
        self.error: MeshError | None = None

    def status(self) -> pb.Status:
        return pb.Status(train_count=12, model_version=10, user_saves=len(self.saved_by))

    def save(self) -> int:
        if self.error is not None:
            raise self.error
        self.saved_by.append(threading.current_thread().name)
        return 12

    def until(self, done: Future[int]) -> None:
        """Turns until the call is answered."""
        while not done.done():
            self.server.serve_saves(self.save)
            threading.Event().wait(0.005)


@pytest.fixture
def learner():
    learner = Learner()
    yield learner
    learner.server.stop(0)


@pytest.fixture
def client(learner):
    client = LearnerClient(f"127.0.0.1:{learner.port}", "secret")
    yield client
    client.close()


@pytest.fixture
def caller():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_a_save_is_made_by_the_training_thread(learner, client, caller):
    done = caller.submit(client.save_model, WAIT_S)
    learner.until(done)
    assert done.result() == 12
    assert learner.saved_by == [threading.current_thread().name]


def test_saves_of_several_aisrv_at_once(learner, client, caller):
    calls = [caller.submit(client.save_model, WAIT_S) for _ in range(4)]
    for done in calls:
        learner.until(done)
        assert done.result() == 12
    assert len(learner.saved_by) == 4


def test_status(client):
    assert client.status() == {"train_count": 12, "model_version": 10, "user_saves": 0, "samples_short": 0}


def test_the_limit_reaches_the_caller_in_words_and_training_goes_on(learner, client, caller):
    learner.error = Refused("user_save_mode_max_count = 2 is reached")
    done = caller.submit(client.save_model, WAIT_S)
    learner.until(done)
    with pytest.raises(Refused, match="user_save_mode_max_count = 2 is reached"):
        done.result()


def test_a_full_disk_reaches_the_caller_and_training_goes_on(learner, client, caller):
    learner.error = MeshError("no room for model 12")
    done = caller.submit(client.save_model, WAIT_S)
    learner.until(done)
    with pytest.raises(PeerError, match="no room for model 12"):
        done.result()


def test_an_agent_that_raises_ends_training_and_the_caller_hears_why(learner, client, caller):
    learner.error = AgentError("Agent.save_model raised ZeroDivisionError")
    done = caller.submit(client.save_model, WAIT_S)
    with pytest.raises(AgentError):
        learner.until(done)
    with pytest.raises(PeerError, match="ZeroDivisionError"):
        done.result()


def test_a_learner_that_does_not_come_to_it(learner, client):
    with pytest.raises(PeerError, match="in time"):
        client.save_model(0.2)
    learner.server.serve_saves(learner.save)
    assert len(learner.saved_by) <= 1  # given up in time or too late to notice; never an error in the training thread


def test_a_stopping_learner_turns_saves_down(learner, client, caller):
    done = caller.submit(client.save_model, WAIT_S)
    while learner.server._saves.empty():
        threading.Event().wait(0.005)
    learner.server.stop()
    with pytest.raises(Refused, match="stopping"):
        done.result()


def test_a_wrong_token(learner):
    stranger = LearnerClient(f"127.0.0.1:{learner.port}", "guess")
    for call in (stranger.save_model, stranger.status):
        with pytest.raises(Refused, match="wrong token"):
            call()
    stranger.close()
    assert learner.saved_by == []
