"""The client by which an aisrv calls the learner."""

from __future__ import annotations

from kaimesh.learner import learner_pb2 as pb
from kaimesh.learner import learner_pb2_grpc as pb_grpc
from kaimesh.wire.grpc_edge import Channel


class LearnerClient:
    """A connection to the learner at `addr` ("host:port"), made at the first call and again after it was lost.

    Every method raises PeerError if the learner is gone or late, and Refused if it refuses the call.
    """

    def __init__(self, addr: str, token: str) -> None:
        self._channel = Channel(addr, token, "learner")
        self._stub = pb_grpc.LearnerStub(self._channel.grpc)

    def save_model(self, timeout_s: float = 60.0) -> int:
        """Has the learner save its model in the run's user_ckpt, between two learns; returns the model's id.

        Raises Refused: user_save_mode_max_count is reached, or the learner is stopping.
        """
        with self._channel.errors("save the model"):
            answer = self._stub.SaveModel(pb.Nothing(), timeout=timeout_s, metadata=self._channel.metadata)
        return int(answer.id)

    def status(self, timeout_s: float = 5.0) -> dict[str, int]:
        """`train_count`, `model_version` (of the newest dump), `user_saves`, `samples_short`: see learner.proto."""
        with self._channel.errors("tell its status"):
            answer = self._stub.GetStatus(pb.Nothing(), timeout=timeout_s, metadata=self._channel.metadata)
        return {
            "train_count": answer.train_count,
            "model_version": answer.model_version,
            "user_saves": answer.user_saves,
            "samples_short": answer.samples_short,
        }

    def close(self) -> None:
        """Closes the connection and cancels open calls."""
        self._channel.close()
