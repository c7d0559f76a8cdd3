"""Parses the requests that are not for predictions: which model predicts, and predict with another model."""

from __future__ import annotations

from typing import Annotated, Literal

import annotated_types as at
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from kaimesh.config.roles import Right
from kaimesh.contract.errors import SampleError
from kaimesh.contract.untrusted import clean
from kaimesh.wire import frame as wire
from kaimesh.wire.gate import Caller

_LARGEST_ID = 2**63 - 1
_Number = Annotated[int, at.Ge(0), at.Le(_LARGEST_ID)]
_Digits = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]


class Version(BaseModel):
    """A request for the version of the model that predicts."""

    model_config = ConfigDict(strict=True, frozen=True)

    do: Literal["version"]


class LoadModel(BaseModel):
    """A request to predict with model `id` of the pool from now on."""

    model_config = ConfigDict(strict=True, frozen=True)

    do: Literal["load_model"]
    id: Literal["latest", "random"] | _Number | _Digits = "latest"


_REQUEST: TypeAdapter[Version | LoadModel] = TypeAdapter(Version | LoadModel)


def request_of(payload: memoryview | bytes) -> Version | LoadModel:
    """The request in a CONTROL frame. Raises BadFrame: it is not a JSON object. SampleError: it is no known request."""
    data = wire.from_json(payload)
    try:
        return _REQUEST.validate_python(data)
    except ValidationError:
        raise SampleError(
            f'{clean(repr(data), 200)} is not a request, so nothing was loaded; load_model takes "latest", "random" or '
            "a number"
        ) from None


def check_pin(caller: Caller | None, request: Version | LoadModel, pinned: bool) -> None:
    """Raises Denied: the client wants to choose the model and may not. The newest may be asked for by everybody, unless
    it is `pinned`, that a client has chosen one.
    """
    assert caller is not None
    if isinstance(request, LoadModel) and (request.id != "latest" or pinned):
        loss = f"model {request.id!r} was not loaded, and the actor predicts with the one that it has"
        caller.want(Right.PIN, loss=loss)
