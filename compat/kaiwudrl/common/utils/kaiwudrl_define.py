"""Names that train_test.py uses."""


class KaiwuDRLDefine:
    """Constants."""

    TRAIN, EVAL, EXAM = "train", "eval", "exam"
    REMOTE, LOCAL, NONE = "remote", "local", "none"
    PROCESS_STOP_DONE = "process_stop.done"
