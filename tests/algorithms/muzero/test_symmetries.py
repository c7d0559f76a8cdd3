"""A board's symmetries: the same transformation of cells, actions and policies."""

from __future__ import annotations

import numpy as np
import pytest

from kaimesh.algorithms.muzero.config import Config
from kaimesh.algorithms.muzero.model import architecture
from kaimesh.algorithms.muzero.symmetries import symmetries
from kaimesh.contract.spaces import Spaces

SQUARE = Spaces((3, 3, 2), "|i1", "discrete", 9, players=2)
GO = Spaces((3, 3, 2), "|i1", "discrete", 10, players=2)
COLUMNS = Spaces((6, 7, 3), "|i1", "discrete", 7, players=2)


@pytest.mark.parametrize(("spaces", "name", "count"), [(SQUARE, "square", 8), (GO, "square", 8), (GO, "mirror", 2)])
def test_a_stone_and_its_move_go_to_the_same_cell(spaces: Spaces, name: str, count: int) -> None:
    board = symmetries(spaces, name)
    assert board is not None
    assert len(board.cells) == count
    which = np.arange(count)
    cells = np.zeros((count, 3, 3, 2), np.int8)
    policy = np.zeros((count, 1, spaces.action_size), np.float32)
    images = set()
    for cell in range(9):
        cells[:] = policy[:] = 0
        cells.reshape(count, 9, 2)[:, cell, 1] = 1
        policy[:, 0, cell] = 1
        image = board.board(which, cells).reshape(count, 9, 2)[:, :, 1]
        np.testing.assert_array_equal(image, board.by_action(which, policy)[:, 0, :9])
        np.testing.assert_array_equal(image.argmax(1), board.action(which, np.full((count, 1), cell))[:, 0])
        images.add(tuple(image.argmax(1)))
    assert len(set(zip(*sorted(images), strict=True))) == count  # all differ
    if spaces is GO:
        policy[:] = 0
        policy[:, 0, 9] = 1
        assert (board.by_action(which, policy)[:, 0, 9] == 1).all()
        assert (board.action(which, np.full((count, 1), 9)) == 9).all()


def test_a_column_goes_to_the_mirrored_one() -> None:
    board = symmetries(COLUMNS, "mirror")
    assert board is not None
    assert len(board.cells) == 2
    cells = np.arange(2 * 42 * 3).reshape(2, 6, 7, 3) % 42
    which = np.array([0, 1])
    found = board.board(which, cells)
    np.testing.assert_array_equal(found[0], cells[0])
    np.testing.assert_array_equal(found[1], cells[1][:, ::-1])
    np.testing.assert_array_equal(board.action(which, np.array([[0, 3], [0, 3]])), [[0, 3], [6, 3]])


def test_auto_takes_what_the_game_declares() -> None:
    assert symmetries(SQUARE, "auto") is None
    for kind, count in (("square", 8), ("mirror", 2), ("diagonals", 4)):
        board = symmetries(SQUARE._replace(symmetry=kind), "auto")
        assert board is not None
        assert len(board.cells) == count
    assert symmetries(SQUARE._replace(symmetry="none"), "auto") is None


def test_what_the_game_does_not_have_is_refused_when_the_network_is_built() -> None:
    game = COLUMNS._replace(symmetry="mirror")
    for name in ("auto", "none", "mirror"):
        architecture(game, Config(symmetries=name))
    with pytest.raises(ValueError, match=r"'square', but the game declares 'mirror': .* Set symmetries = 'auto'"):
        architecture(game, Config(symmetries="square"))


def test_none_and_what_cannot_be_mirrored() -> None:
    assert symmetries(COLUMNS, "none") is None
    for spaces, name in ((COLUMNS, "square"), (Spaces((4,), "<f4", "discrete", 2), "mirror")):
        with pytest.raises(ValueError, match=f"symmetries = '{name}' .* Set symmetries = 'none'"):
            symmetries(spaces, name)
