"""Images of boards: a game that is played in mirror image shows mirrored boards and moves, and is worth the same."""

from __future__ import annotations

import numpy as np
import pytest

from kaimesh import envs
from kaimesh.contract.symmetry import KINDS, Symmetries, contradicts, symmetries
from tests.envs.spiel.games import CONFS, draw, spiel

WITH_IMAGES = ["tic_tac_toe", "connect_four", "othello", "gomoku", "go"]


def images(name: str) -> Symmetries:
    env = envs.make_vector(f"spiel:{name}", 1, env_conf=CONFS[name])
    height, width, _ = env.spaces.obs_shape
    assert env.spaces.symmetry == env.offers.symmetry
    return symmetries(env.offers.symmetry, height, width, env.spaces.action_size)


@pytest.mark.parametrize("name", WITH_IMAGES)
def test_a_game_and_its_images_are_the_same_game(name: str) -> None:
    """Every image is played as a game of its own, in OpenSpiel, from the moves' images."""
    all_images = images(name)
    count = len(all_images.cells)
    assert count == {"connect_four": 2, "othello": 4}.get(name, 8)
    env, rng = spiel(name, count), np.random.default_rng(0)
    seen, infos = env.reset()
    which, first = np.arange(count), np.zeros(count, int)
    for _ in range(150):
        np.testing.assert_array_equal(seen, all_images.board(which, seen[first]))
        legal = infos["legal_act"][:, None]
        np.testing.assert_array_equal(legal, all_images.by_action(which, legal[first]))
        move = draw(infos["legal_act"][:1], rng)[0]
        seen, _, terminated, _, infos = env.step(all_images.moves[:, move])
        assert (infos["rewards"] == infos["rewards"][0]).all()
        assert (infos["to_play"] == infos["to_play"][0]).all()
        assert terminated.all() == terminated.any()


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_permutations_all_different(kind: str) -> None:
    for height, width, actions in ((4, 4, 16), (4, 4, 17), (3, 4, 4), (3, 4, 12)):
        if height != width and kind in ("square", "diagonals"):
            with pytest.raises(ValueError, match="3 x 4 cells has no images"):
                symmetries(kind, height, width, actions)
            continue
        made = symmetries(kind, height, width, actions)
        assert (np.sort(made.cells, 1) == np.arange(height * width)).all()
        assert (np.sort(made.moves, 1) == np.arange(actions)).all()
        assert (made.cells[0] == np.arange(height * width)).all()
        assert (made.moves[0] == np.arange(actions)).all()
        assert (np.take_along_axis(made.moves, made.sources, 1) == np.arange(actions)).all()
        assert len(np.unique(made.cells, axis=0)) == len(made.cells) == len(KINDS[kind])
        if actions == height * width + 1:
            assert (made.moves[:, -1] == actions - 1).all(), "a pass is a pass"


def test_a_mirror_image_is_left_and_right() -> None:
    made = symmetries("mirror", 2, 3, 3)
    which = np.array([0, 1])
    board = np.tile(np.arange(6).reshape(1, 2, 3, 1), (2, 1, 1, 1))
    np.testing.assert_array_equal(made.board(which, board)[..., 0], [[[0, 1, 2], [3, 4, 5]], [[2, 1, 0], [5, 4, 3]]])
    np.testing.assert_array_equal(made.by_action(which, np.array([[[1, 2, 3]]] * 2)), [[[1, 2, 3]], [[3, 2, 1]]])
    np.testing.assert_array_equal(made.action(which, np.array([[0], [0]])), [[0], [2]])


def test_a_kind_contradicts_a_game_without_all_of_its_images() -> None:
    def images_of(kind: str) -> set[tuple[int, ...]]:
        return set(map(tuple, symmetries(kind, 4, 4, 16).cells))

    for kind in KINDS:
        assert not contradicts(kind, "")
        for declared in KINDS:
            assert contradicts(kind, declared) == (not images_of(kind) <= images_of(declared)), (kind, declared)


def test_games_that_have_none_say_so() -> None:
    for name in ("mancala", "hex", "breakthrough"):
        assert envs.make_vector(f"spiel:{name}", 1).offers.symmetry == "none"
    assert envs.make_vector("spiel:go", 1, env_conf={"handicap": 2}).offers.symmetry == "none"
    assert envs.make_vector("catch", 1).offers.symmetry == ""
