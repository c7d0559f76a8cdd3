import numpy as np
from arena_proto.back_to_the_realm_v2.custom_pb2 import RelativeDirection

DIRECTIONS = {
    "RELATIVE_DIRECTION_NONE": 0,
    "East": RelativeDirection.East,
    "NorthEast": RelativeDirection.NorthEast,
    "North": RelativeDirection.North,
    "NorthWest": RelativeDirection.NorthWest,
    "West": RelativeDirection.West,
    "SouthWest": RelativeDirection.SouthWest,
    "South": RelativeDirection.South,
    "SouthEast": RelativeDirection.SouthEast,
}
DISTANCES = ["RELATIVE_DISTANCE_NONE", "VerySmall", "Small", "Medium", "Large", "VeryLarge"]


class Preprocessor:
    def __init__(self):
        self.visits = np.zeros((128 + 10, 128 + 10), np.float32)

    def process(self, obs):
        hero = obs["frame_state"]["heroes"][0]
        x, z = hero["pos"]["x"], hero["pos"]["z"]
        self.visits[x + 5, z + 5] = min(1.0, self.visits[x + 5, z + 5] + 0.2)
        view = np.array([line["values"] for line in obs["map_info"]], dtype=np.int64)
        maps = [view == 0, view == 4, view == 3, self.visits[x : x + 11, z : z + 11]]
        organs = np.zeros((15, 3), np.float32)
        for row, organ in enumerate(obs["frame_state"]["organs"][:15]):
            place = organ["relative_pos"]
            organs[row] = (
                organ["status"],
                int(DIRECTIONS[place["direction"]]) / 8,
                DISTANCES.index(place["l2_distance"]) / 5,
            )
        me = [x / 128, z / 128, hero["speed_up"], hero["talent"]["status"], min(1, hero["buff_remain_time"] / 50)]
        flat = [np.asarray(one, dtype=np.float32).ravel() for one in maps]
        return np.concatenate([*flat, np.array(me, dtype=np.float32), organs.ravel()])
