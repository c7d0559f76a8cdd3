"""A user's config class: whatever it is, raises or returns, and whatever it is given, the report tells it in words."""

from __future__ import annotations

import json
import tomllib
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from kaimesh.config import Config, load
from kaimesh.contract.errors import ConfigError

_number = count()  # of the modules made here, of which none may be another's
AGENTS = "".join(f'{key} = "a.A"\n' for key in ("actor_agent", "learner_agent", "aisrv_agent", "train_workflow"))
FROZEN = "from dataclasses import *\n@dataclass(frozen=True, kw_only=True)\nclass Config:\n"


class Mine:
    """The configuration of an algorithm `mine` whose config module holds `source`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.syspath_prepend(str(folder))

    def of(self, source: str, **given: str) -> Config:
        module = f"users_class_{next(_number)}"
        (self.folder / f"{module}.py").write_text(source)
        registry = self.folder / "algos.toml"
        registry.write_text(f'[mine]\n{AGENTS}config = "{module}.Config"\n')
        conf = self.folder / "c.toml"
        conf.write_text(f"[app]\nalgo = 'mine'\nalgo_conf = '{registry}'\n")
        return load(conf, {f"mine.{key}": text for key, text in given.items()}, {})

    def report(self, source: str, **given: str) -> str:
        with pytest.raises(ConfigError) as caught:
            self.of(source, **given)
        return str(caught.value)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mine:
    return Mine(tmp_path, monkeypatch)


def plain(body: str, decorator: str = "") -> str:
    return f"class Config:\n    lr = 0.1\n    {decorator}\n{body}"


def checking(body: str) -> list[str]:
    """`check` with that body, of a frozen dataclass and of a plain class."""
    return [
        FROZEN + f"    lr: float = 0.1\n    def check(self):\n        {body}\n",
        plain(f"    def check(cls):\n        {body}\n", "@classmethod"),
    ]


WRONG = [
    *((source, "ValueError: is broken was raised in") for source in checking("raise ValueError('is broken')")),
    *((source, "SystemExit: 3 was raised in") for source in checking("raise SystemExit(3)")),
    *((source, "ZeroDivisionError: division by zero was raised in") for source in checking("yield 1 / 0")),
    *((source, "Config.check returned None, which is no list of sentences") for source in checking("return None")),
    *((source, "Config.check returned 'a b', which is no list of sentences") for source in checking("return 'a b'")),
    *((source, "Config.check returned {'a': 1}, which") for source in checking("return {'a': 1}")),
    *((source, "Config.check returned [3], which is no list of sentences") for source in checking("return [3]")),
    *((source, "Config.check returned True, which is no list of sentences") for source in checking("return True")),
    (plain("    def check(self):\n        return []\n"), "is a method of instances, but of a plain class none is made"),
    (plain("    check = True\n"), "Config.check = True is bool, but would be called"),
    (FROZEN + "    check: bool = True\n", "Config.check = True is bool, but would be called"),
    (
        FROZEN + "    lr: float = 0.1\n    def __post_init__(self):\n        raise ValueError('too large')\n",
        "cannot be made with these values: ValueError: too large was raised in",
    ),
    (
        FROZEN + "    lr: float = 0.1\n    def __post_init__(self):\n        raise SystemExit('bye')\n",
        "cannot be made with these values: SystemExit: bye was raised in",
    ),
    (FROZEN + "    lr: float\n", "has no default for lr; without a value"),
    (
        "from dataclasses import *\n@dataclass\nclass Config:\n    lr: float = 0.1\n",
        "is a dataclass that is not frozen",
    ),
    ("from dataclasses import *\n@dataclass\nclass Config:\n    lr: float\n", "is a dataclass that is not frozen"),
    (
        FROZEN.replace("Config", "Base") + "    lr: float = 0.1\nclass Config(Base):\n    lr = 0.2\n",
        "derives from a dataclass without being one, so its own lr would have no effect",
    ),
    ("def Config():\n    return 3\n", "is function, not a class"),
    ("import enum\nclass Config(enum.Enum):\n    lr = 0.1\n", "cannot be set: AttributeError: "),
]


@pytest.mark.parametrize(("source", "told"), WRONG)
def test_a_class_that_goes_wrong_is_a_line_of_the_report(mine: Mine, source: str, told: str) -> None:
    text = mine.report(source)
    assert told in text
    assert "1 problem;" in text
    assert "[mine]: users_class_" in text, "the table and the class"
    assert "Config" in text
    assert any(f"{remedy} " in text for remedy in ("Correct", "Write", "Return", "Make", "Name")), "the remedy"
    assert "Traceback" not in text


def test_what_check_says_may_be_a_list_a_tuple_or_yielded(mine: Mine) -> None:
    for body in ("return ['so', 'and so']", "return 'so', 'and so'", "yield from ('so', 'and so')"):
        for source in checking(body):
            assert "2 problems; nothing was started.\n  1. [mine] so\n  2. [mine] and so" in mine.report(source)


TYPED = (
    FROZEN
    + """    lr: float = 0.1
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, float] = (1, 2.0)
    n: int | None = None
    mode: Literal["a", "b"] = "a"
    rates: list[float] = field(default_factory=list)
    loose: Any = 3
    whole: float = 1
    wrongly: int = 0.5
"""
).replace("from dataclasses", "from typing import *\nfrom dataclasses", 1)
UNTYPED = (
    "class Config:\n    lr = 0.1\n    sizes = [1, 2]\n    rates = (0.5,)\n    mixed = ['a', 1]\n    anything = []\n"
)


@pytest.mark.parametrize(
    ("source", "key", "text", "told"),
    [
        (TYPED, "sizes", '["a"]', "sizes = ['a']: 'a' is not int; it must be tuple[int, ...], such as [1, 2]"),
        (TYPED, "sizes", "[true]", ": True is not int; it must be tuple[int, ...]"),
        (TYPED, "sizes", "[1.5]", "it must be tuple[int, ...]"),
        (TYPED, "sizes", "3", "is int; it must be tuple[int, ...]"),
        (TYPED, "pair", "[1]", "it has 1 items instead of 2; it must be tuple[int, float]"),
        (TYPED, "n", '"x"', "is str; it must be int | None,"),
        (TYPED, "n", "true", "is bool; it must be int | None,"),
        (TYPED, "mode", '"c"', "it must be Literal['a', 'b'], such as \"a\""),
        (TYPED, "rates", '["x"]', "it must be list[float]"),
        (TYPED, "wrongly", '"x"', "it must be float, such as 0.5"),
        (UNTYPED, "sizes", '["a"]', "it must be list[int], such as [1, 2]"),
        (UNTYPED, "rates", '["a"]', "it must be tuple[float, ...]"),
        *(
            (source, "lr", text, "is no finite number")
            for source in (TYPED, UNTYPED)
            for text in ("inf", "-inf", "nan")
        ),
        *((source, "lr", "1" + "0" * 400, "is no finite number") for source in (TYPED, UNTYPED)),
        *((source, "rates", "[1.0, inf]", "is no finite number") for source in (TYPED, UNTYPED)),
        (TYPED, "pair", "[1, nan]", "is no finite number"),
        (TYPED, "loose", "inf", "is no finite number"),
        (TYPED, "loose", "[[1, {a = -inf}]]", "it would be lost"),
        (TYPED, "loose", "{a = [inf]}", "is no finite number"),
        (TYPED, "loose", "1979-05-27", "1979-05-27 is date, which the processes would not get"),
        (UNTYPED, "mixed", "[nan]", "is no finite number"),
        (UNTYPED, "anything", "[07:32:00]", "07:32:00 is time, which the processes would not get"),
    ],
)
def test_a_value_of_another_type_or_not_finite_is_refused(
    mine: Mine, source: str, key: str, text: str, told: str
) -> None:
    report = mine.report(source, **{key: text})
    assert told in report
    assert f"[mine]: {key} = " in report


@pytest.mark.parametrize(
    ("source", "key", "text", "value"),
    [
        (TYPED, "lr", "1", 1.0),
        (TYPED, "sizes", "[]", ()),
        (TYPED, "pair", "[3, 4]", (3, 4.0)),
        (TYPED, "n", "3", 3),
        (TYPED, "mode", '"b"', "b"),
        (TYPED, "rates", "[1, 2.5]", [1.0, 2.5]),
        (TYPED, "loose", '"text"', "text"),
        (TYPED, "loose", "{a = [1, 2]}", {"a": [1, 2]}),
        (TYPED, "whole", "1.5", 1.5),
        (TYPED, "wrongly", "1.5", 1.5),
        (UNTYPED, "mixed", '[2, "b"]', [2, "b"]),
        (UNTYPED, "anything", '[["a"], [1]]', [["a"], [1]]),
    ],
)
def test_a_value_that_fits_reaches_agents_and_every_process(
    mine: Mine, tmp_path: Path, source: str, key: str, text: str, value: Any
) -> None:
    config = mine.of(source, **{key: text})
    assert config.parameters is not None
    given = config.parameters.values[key]
    assert (given, type(given)) == (value, type(value))
    (tmp_path / "run.toml").write_text(config.to_toml())
    again = load(tmp_path / "run.toml", {}, {})
    assert again.parameters is not None
    assert again.parameters.values == config.parameters.values


def test_annotations_that_cannot_be_evaluated_leave_the_defaults_types(mine: Mine) -> None:
    source = FROZEN + "    lr: 'Missing' = 0.1\n"
    assert "it must be float, such as 0.1" in mine.report(source, lr='"x"')
    assert mine.of(source, lr="2").hyper == {"lr": 2.0}


def test_a_class_may_hold_infinity_of_its_own(mine: Mine) -> None:
    config = mine.of("class Config:\n    lr = 0.1\n    most = float('inf')\n")
    assert config.parameters is not None
    assert config.parameters.values["most"] == float("inf")
    assert json.loads(json.dumps(tomllib.loads(config.to_toml())["mine"])) == {"lr": 0.1}


DELIVERED = ("ppo", "impala", "dqn", "target_dqn", "diy")


@pytest.mark.parametrize("algo", DELIVERED)
@pytest.mark.parametrize("text", ["inf", "-inf", "nan"])
def test_no_float_of_a_delivered_algorithm_may_be_infinite(tmp_path: Path, algo: str, text: str) -> None:
    conf = tmp_path / "c.toml"
    conf.write_text(f"[app]\nalgo = '{algo}'\n")
    keys = [key for key, value in load(conf, {}, {}).hyper.items() if isinstance(value, float)]
    assert keys
    with pytest.raises(ConfigError) as caught:
        load(conf, {f"{algo}.{key}": text for key in keys}, {})
    assert [
        key for key in keys if f"[{algo}]: {key} = {text}: {text} is no finite number" not in str(caught.value)
    ] == []


@pytest.mark.parametrize("algo", DELIVERED[:4])
@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("unroll_length", "100000000", "memory would be full before the first sample leaves"),
        ("hidden_sizes", "[64, 1000000000]", "a layer of 1000000000 units would not fit in memory"),
        ("lstm_size", "1000000000", "a layer of 1000000000 units would not fit in memory"),
    ],
)
def test_what_no_machine_can_hold_is_refused(tmp_path: Path, algo: str, key: str, text: str, told: str) -> None:
    conf = tmp_path / "c.toml"
    conf.write_text(f"[app]\nalgo = '{algo}'\n")
    with pytest.raises(ConfigError) as caught:
        load(conf, {f"{algo}.{key}": text}, {})
    assert told in str(caught.value)
    assert "Set at most" in str(caught.value)
