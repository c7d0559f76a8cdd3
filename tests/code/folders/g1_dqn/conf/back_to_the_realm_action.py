from kaiwudrl.common.algorithms.distribution import CategoricalDist
from kaiwudrl.interface.action import Action, ActionSpec
from kaiwudrl.interface.array_spec import ArraySpec


class RealmAction(Action):
    SPEC = {"action": ActionSpec(ArraySpec((16,), "float32"), CategoricalDist)}
