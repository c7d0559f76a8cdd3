"""What an environment declares in its metadata, and what the mesh makes of it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.contract.errors import ConfigError
from kaimesh.contract.spaces import Part, Spaces
from kaimesh.envs.interface import Offers
from kaimesh.envs.realm.facade import RealmFacade, RealmMiniFacade
from kaimesh.envs.realm.face import RealmFace
from tests.envs.own import Counter

KEYS = {"frame_stack", "parts", "success_return", "features", "facade", "face", "story", "evaluation_options"}


def test_nothing_declared_is_nothing_offered() -> None:
    offers = Offers.of(
        {"render_modes": None, "render_fps": "fast"}, "mine"
    )  # gymnasium's own keys, which anybody may set
    assert offers == Offers("mine")
    assert offers.face() is offers.story() is offers.facade() is None
    assert not offers.evaluation_options()
    with pytest.raises(ConfigError, match="mine offers no features of its own; a network would have nothing to see"):
        offers.features("eyes")


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_value_that_means_nothing_is_refused_with_the_remedy(key: str) -> None:
    wrong = {"frame_stack": (3.5, -1, [1]), "parts": ([1], 5, None), "success_return": ([1], float("nan"), True)}
    for value in wrong.get(key, ([1],)):
        with pytest.raises(ConfigError) as error:
            Offers.of({key: value}, "mine")
        assert str(error.value).startswith(f"mine: metadata[{key!r}] = ")
        assert "must be" in str(error.value)
        assert str(error.value).endswith("remove the key from the environment's metadata.")


@pytest.mark.parametrize("fps", [float("inf"), float("nan"), -5, 1e9, 10**400, True])
def test_a_rate_that_no_film_can_have_counts_as_none(fps: Any) -> None:
    assert Offers.of({"render_fps": fps}, "mine").render_fps == 0


def test_metadata_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="mine: metadata = None is no dictionary"):
        Offers.of(None, "mine")  # type: ignore[arg-type]


def test_what_cannot_be_imported_is_refused_where_it_is_used() -> None:
    offers = Offers.of({"face": "no_such_module:Face", "story": "json:Story"}, "mine")
    with pytest.raises(ConfigError, match=r"metadata\['face'\] = 'no_such_module:Face' cannot be imported"):
        offers.face()
    with pytest.raises(ConfigError, match="has no attribute 'Story'"):
        offers.story()


def test_environments_say_so_before_and_after_they_are_made() -> None:
    assert envs.offers("realm").face() is RealmFace
    assert envs.make_vector("realm-mini", 1).offers.face() is RealmFace
    for app in (*envs.ENVIRONMENTS, "gym:CartPole-v1", "ale:pong", "procgen:coinrun", "minigrid:Empty-5x5"):
        assert (envs.offers(app).face() is RealmFace) == ("realm" in app)
    bytes_of = envs.make_vector("realm-mini", 1, env_conf={"observation": "bytes"})
    assert [part.name for part in bytes_of.offers.parts] == ["vector", "maps"]
    assert envs.make_vector("catch", 1).offers.success_return == 1.0
    assert envs.make_vector("ale:pong", 1).offers.frame_stack == 4


def test_the_facade_follows_the_class_whatever_name_it_was_found_by() -> None:
    for app, kind, cells in (
        ("realm", RealmFacade, 128),
        ("realm-mini", RealmMiniFacade, 32),
        ("kaimesh.envs.realm.vector:RealmMini", RealmMiniFacade, 32),
    ):
        facade = envs.facade(app)
        assert type(facade) is kind
        assert facade.app == app
        assert facade.env.map.size == cells


class Halves:
    """Features of bytes: they consist of parts, and are no stacked frames."""

    spaces = Spaces((2,), "|u1", "discrete", 6, parts=(Part("both", "|u1", (2,)),))

    def reset(self, observations: np.ndarray) -> np.ndarray:
        return np.zeros((len(observations), 2), np.uint8)

    def step(
        self, observations: np.ndarray, actions: Any, rewards: np.ndarray, *_: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.reset(observations), rewards


class WithHalves:
    def features(self, count: int, spaces: Spaces) -> Any:
        return Halves()


def test_features_of_stacked_frames_are_no_frames() -> None:
    env = envs.make_vector("ale:pong", 2)
    seen = envs.featured(env, WithHalves())
    assert (env.offers.frame_stack, seen.offers.frame_stack) == (4, 0)
    assert seen.offers.parts == seen.spaces.parts == Halves.spaces.parts
    assert seen.app == "ale:pong"


class Wrong(Counter):
    metadata: ClassVar = {"render_modes": [], "frame_stack": "four"}


def test_an_environment_with_wrong_metadata_is_not_made() -> None:
    with pytest.raises(ConfigError, match=r"tests.envs.test_offers:Wrong: metadata\['frame_stack'\] = 'four'"):
        envs.make_vector("tests.envs.test_offers:Wrong", 1)
