from kaiwudrl.interface.array_spec import ArraySpec
from kaiwudrl.interface.state import State


class RealmState(State):
    FEATURES = 10808
    SPEC = {"observation": ArraySpec((FEATURES,), "float32")}
