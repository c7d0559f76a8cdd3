from common_python.utils.common_func import attached, create_cls

ObsData = create_cls("ObsData", state=None)

ActData = create_cls("ActData", act=None)

SampleData = create_cls("SampleData", state=None, act=None, reward=None, next_state=None, done=None)


@attached
def sample_process(list_game_data):
    return [SampleData(**frame.__dict__) for frame in list_game_data]
