"""A game's settings, as attributes."""

from types import SimpleNamespace

# The defaults of gorge_walk, generation G1.
yaml_gorge_walk_game = SimpleNamespace(
    start=[29, 9], end=[11, 55], treasure_id=[], treasure_num=0, treasure_random=0, max_step=2000
)
