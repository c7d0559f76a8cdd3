"""Parses the requests that are not for predictions: which model predicts, and predict with another model."""

from __future__ import annotations

from typing import Annotated, Literal

import annotated_types as at
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from kaimesh.contract.errors import SampleError
from kaimesh.contract.untrusted import clean
from kaimesh.wire import frame as wire

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
