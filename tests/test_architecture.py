"""The house: which room may import which, where heavy libraries may be, and how long files get (docs/architecture.md).

Every rule is one test, which lists all offenders. It reads the source, also imports inside functions and those for
types alone.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kaimesh.config.roles import ROLES

ROOT = Path(__file__).resolve().parent.parent
GROUND = ("contract", "config", "wire", "process", "training")  # from the bottom up
SERVICES = ("aisrv", "actor", "reanalyse", "learner", "model_pool", "buffer")
HOUSES = ("operate", "arena")
ROOMS = (*SERVICES, "algorithms", "envs", *HOUSES)  # each stands at the root, and is linked into kaimesh/
SERVICE_FILES = {"__init__.py", "__main__.py", "service.py"}

COMPAT = "compat"  # import names of another framework; linked too, so that an installed kaimesh has them

# What a room may import besides the ground; a whole room, or one module or package of it.
ABOVE = {
    "aisrv": [
        "kaimesh.actor.client",
        "kaimesh.actor.models",
        "kaimesh.buffer.sending",
        "kaimesh.learner.client",
        "kaimesh.model_pool.client",
        "kaimesh.envs",
    ],
    "actor": ["kaimesh.model_pool.client"],
    "learner": ["kaimesh.model_pool.client", "kaimesh.buffer.drawing"],
    "reanalyse": ["kaimesh.actor.client", "kaimesh.buffer.drawing", "kaimesh.buffer.sending"],
    "arena": ["kaimesh.envs"],
    "operate": [f"kaimesh.{room}" for room in SERVICES],
}
COMMAND = "kaimesh.__main__"  # may start whatever there is
MOST_LINES = 350


class Source(NamedTuple):
    """One file of ours.

    `module` is its name as it is imported, `room` the part after `kaimesh`; "" for kaimesh/*.py.
    """

    path: Path
    module: str
    room: str
    text: str


class Import(NamedTuple):
    """`source` imports `module`: a module of ours, or any other library's."""

    source: Source
    module: str

    def __str__(self) -> str:
        return f"{self.source.path.relative_to(ROOT)} imports {self.module}"


@functools.cache
def sources() -> tuple[Source, ...]:
    """Everything that a mesh consists of, generated code aside."""
    found = []
    for folder in ("kaimesh", *ROOMS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts if parts[0] == "kaimesh" else ("kaimesh", *parts)
            room = parts[1] if len(parts) > 2 else ""
            if not path.stem.endswith(("_pb2", "_pb2_grpc")):
                found.append(Source(path, ".".join(parts).removesuffix(".__init__"), room, path.read_text()))
    return tuple(found)


@functools.cache
def imports() -> tuple[Import, ...]:
    """Every import of every source."""
    ours = {source.module for source in sources()}
    return tuple(Import(source, module) for source in sources() for module in _imported(source.text, ours))


def _imported(text: str, ours: set[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from {name if name in ours else node.module for name in whole}


def room_of(module: str) -> str:
    """The room of one of our modules; "agent" is the public face, "" a foreign library."""
    parts = module.split(".")
    return parts[1] if parts[0] == "kaimesh" and len(parts) > 1 else ""


def test_every_room_is_found_below_kaimesh_and_nowhere_else() -> None:
    links = {path.name: path.readlink() for path in (ROOT / "kaimesh").iterdir() if path.is_symlink()}
    assert links == {room: Path("..") / room for room in (*ROOMS, COMPAT)}
    bare = [str(found) for found in imports() if found.module.split(".")[0] in (*ROOMS, *GROUND)]
    assert not bare, "everything of ours imports as kaimesh.<room>"


def test_the_ground_is_five_rooms_and_a_face_and_the_command_stands_above_all() -> None:
    assert {path.parent.name for path in (ROOT / "kaimesh").glob("*/*.py") if not path.parent.is_symlink()} == set(
        GROUND
    )
    assert {path.name for path in (ROOT / "kaimesh").glob("*.py")} == {"__init__.py", "__main__.py", "agent.py"}
    assert not [str(found) for found in imports() if found.module == COMMAND], "nobody imports the command"


def test_in_the_ground_imports_point_down() -> None:
    def down(found: Import) -> bool:
        here, there = found.source.room, room_of(found.module)
        if not here:  # kaimesh/agent.py
            return there == "contract"
        return there == here or there in GROUND[: GROUND.index(here)]

    inside = [found for found in imports() if found.source.room in (*GROUND, "") and found.source.module != COMMAND]
    assert not [str(found) for found in inside if room_of(found.module) and not down(found)]


def test_what_stands_on_the_ground_imports_the_ground_and_what_it_may() -> None:
    def fine(found: Import) -> bool:
        here, there = found.source.room, room_of(found.module)
        allowed = ABOVE.get(here, [])
        return there in (here, *GROUND) or any(f"{found.module}.".startswith(f"{name}.") for name in allowed)

    above = [found for found in imports() if found.source.room in ROOMS]
    assert not [str(found) for found in above if room_of(found.module) and not fine(found)]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Packages' __init__ aside, which import what they hand on."""
    ours = {source.module for source in sources()}
    edges: dict[str, set[str]] = {module: set() for module in ours}
    for found in imports():
        if found.module in ours and found.source.path.name != "__init__.py":
            edges[found.source.module].add(found.module)
    while leaves := {module for module, targets in edges.items() if not targets}:
        edges = {module: targets - leaves for module, targets in edges.items() if module not in leaves}
    assert not edges


def test_only_users_import_the_public_face() -> None:
    assert not [str(found) for found in imports() if room_of(found.module) == "agent"]
    taken = {
        module
        for path in (ROOT / "diy").rglob("*.py")
        for module in _imported(path.read_text(), set())
        if module.startswith("kaimesh")
    }
    assert taken == {"kaimesh.agent"}


def test_import_names_of_others_import_the_public_face_alone_and_nobody_imports_them() -> None:
    paths = list((ROOT / COMPAT).rglob("*.py"))
    taken = {module for path in paths for module in _imported(path.read_text(), set()) if module.startswith("kaimesh")}
    assert taken == {"kaimesh.agent"}
    tops = {path.parent.name for path in (ROOT / COMPAT).glob("*/__init__.py")} - {"tools"}
    assert not [str(found) for found in imports() if {*found.module.split(".")} & {*tops, COMPAT}]


def test_an_agent_is_read_in_one_place() -> None:
    """Whether an agent has an optional member of the contract is asked in kaimesh/contract/user_agent and nowhere
    else.
    """
    reader = "kaimesh.contract.user_agent"
    members = {
        node.name
        for source in sources()
        if source.module == "kaimesh.contract.agent"
        for node in ast.walk(ast.parse(source.text))
        if isinstance(node, ast.FunctionDef)
    } | {
        "unroll_length",
        "table",
        "pad_batches",
        "sequential_predict",
        "unit_actions",
        "observation_process",
        "action_process",
    }
    offenders = [
        f"{source.path.relative_to(ROOT)}:{node.lineno}"
        for source in sources()
        if source.module != reader
        for node in ast.walk(ast.parse(source.text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "hasattr")
        and (
            any(isinstance(word, ast.Constant) and word.value in members for word in node.args)
            or (node.func.id == "hasattr" and "agent" in ast.unparse(node.args[0]))
        )
    ]
    assert not offenders


def test_the_root_holds_one_program() -> None:
    """What a user starts at the root is train_test.py; it wires nothing by itself."""
    programs = {path.name for path in ROOT.glob("*.py")}
    assert programs == {"train_test.py"}
    text = (ROOT / "train_test.py").read_text()
    ours = {source.module for source in sources()}
    assert {module for module in _imported(text, ours) if module.startswith("kaimesh")} == {
        "kaimesh.operate.train_test",
        "kaimesh.process.guarded",
    }


def test_only_the_buffer_knows_reverb() -> None:
    found = [found for found in imports() if found.module.split(".")[0] == "reverb"]
    assert {found.source.room for found in found} == {"buffer"}
    assert not [str(one) for one in found if one.source.module.startswith("kaimesh.buffer.sending")]


def test_heavy_libraries_stay_where_they_belong() -> None:
    barred = {
        "algorithms": {"grpc", "reverb", "gymnasium", "socket"},
        "aisrv": {"tensorflow"},
        "envs": {"tensorflow"},
        "contract": {"tensorflow", "grpc", "gymnasium"},
    }
    tops = [(found, found.module.split(".")[0]) for found in imports()]
    assert not [str(found) for found, top in tops if top in barred.get(found.source.room, ())]
    pickles = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    assert not [str(found) for found, top in tops if top in pickles], "nothing is pickled"


def test_the_sending_side_needs_neither_reverb_nor_tensorflow() -> None:
    """In a fresh interpreter, with everything that it imports."""
    heavy = ("reverb", "tensorflow", "grpc", "gymnasium")
    code = f"import sys, kaimesh.buffer.sending.sender; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_writes_json_that_a_reader_may_refuse() -> None:
    """Through `json_text`, or so that a number which is not finite is an error."""
    offenders = [
        f"{source.path.relative_to(ROOT)}:{node.lineno}"
        for source in sources()
        if source.module != "kaimesh.contract.json_text"
        for node in ast.walk(ast.parse(source.text))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("json.dumps", "json.dump")
        and not any(word.arg == "allow_nan" and ast.unparse(word.value) == "False" for word in node.keywords)
    ]
    assert not offenders


def test_a_game_is_named_by_nobody_but_itself() -> None:
    """Its parts and options are found through its environment's metadata.

    Neither an identifier nor a string of another room has its name.
    """
    packages = {path.parent.name for path in (ROOT / "envs").glob("*/__init__.py")}
    games = sorted(packages - {"spiel"})  # which is a library of games
    assert games == ["realm"]
    elsewhere = [source for source in sources() if source.room != "envs"]
    assert not [
        f"{source.path.relative_to(ROOT)}:{line}" for source in elsewhere for line in _naming(source.text, games)
    ]


def _naming(text: str, games: list[str]) -> Iterator[int]:
    """Lines where an identifier, a module's name or a string (docstrings too) has a game's name in it."""
    for node in ast.walk(ast.parse(text)):
        names = [getattr(node, field, None) for field in ("id", "attr", "name", "arg", "module", "value")]
        if any(isinstance(name, str) and game in name.lower() for name in names for game in games):
            yield getattr(node, "lineno", 0)


def test_every_service_has_the_same_files() -> None:
    for room in SERVICES:
        missing = SERVICE_FILES - {path.name for path in (ROOT / room).glob("*.py")}
        assert not missing, room
        assert len((ROOT / room / "__main__.py").read_text().splitlines()) <= 40


def test_files_stay_short() -> None:
    lengths = {source.path.relative_to(ROOT): len(source.text.splitlines()) for source in sources()}
    assert not {str(path): length for path, length in lengths.items() if length > MOST_LINES}


def test_a_package_lists_exactly_its_modules() -> None:
    """Its docstring has a line for each module and package in it, `name  what it is`, and none for anything else."""
    wrong = []
    for source in sources():
        if source.path.name == "__init__.py" and (inside := _inside(source.path.parent)):
            text = ast.get_docstring(ast.parse(source.text)) or ""
            listed = set(re.findall(r"^(\w+)  +\S", text, re.MULTILINE))
            wrong += [f"{source.module} does not list {name}" for name in sorted(inside - listed)]
            wrong += [f"{source.module} lists {name}, which it does not have" for name in sorted(listed - inside)]
    assert not wrong


def test_the_users_package_lists_exactly_its_files() -> None:
    """diy's docstring has a line for each file, `folder/name.py  what it is`;
    its folders' own docstrings have no lists.
    """
    text = ast.get_docstring(ast.parse((ROOT / "diy" / "__init__.py").read_text())) or ""
    files = {str(path.relative_to(ROOT / "diy")) for path in (ROOT / "diy").rglob("*.py")}
    listed = re.findall(r"^([\w/]+\.py)  +\S", text, re.MULTILINE)
    assert sorted(listed) == sorted(name for name in files if not name.endswith("__init__.py"))


def _inside(folder: Path) -> set[str]:
    """The modules and packages of a package, generated code and the linked rooms aside."""
    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("__") and "_pb2" not in path.stem}
    return modules | {path.parent.name for path in folder.glob("*/__init__.py") if not path.parent.is_symlink()}


# Words of the mesh that are spelt like a process's name and are something else.
ALSO_CALLED_SO = {
    "kaimesh/config/code/agents.py": "agent types, in keys of a folder's registry",
    "kaimesh/process/agents.py": "agent types, which the contract with users' agents names",
    "kaimesh/process/run_dir.py": "folders of a run",
    "kaimesh/training/training.py": "a folder of a run",
    "aisrv/service.py": "an agent type",
    "learner/publisher.py": "a field of its status",
    "operate/serial.py": "agent types",
    "operate/package/trial.py": "an agent type",
    "operate/view/totals.py": "what the figure of the samples kept is called",
    "algorithms/agent.py": "agent types",
    "arena/players.py": "an agent type",
    "kaimesh/contract/predicting.py": "a method of agents",
    "kaimesh/contract/user_agent.py": "a method of agents",
}


def test_a_process_is_named_by_the_roles_table_alone() -> None:
    """A new process is a row there, its package, and its lines for containers: no other code spells or lists roles."""
    offenders, spelt = [], set()
    for source in sources():
        path = str(source.path.relative_to(ROOT))
        names = set(ROLES) - {source.room}  # a service may call itself by its name
        if source.module == "kaimesh.config.roles":
            continue
        for text in _texts(source.text):
            words = [word for word in re.findall(r"[A-Za-z_]+", text) if word in names]
            # Not "buffer: ...", which is said to people, and not "_buffer", an attribute.
            is_name = re.fullmatch(rf"(\W*|_(?=\w+=))({'|'.join(names)})(_|_\d+)?[^\w:]*", text)
            if is_name and path in ALSO_CALLED_SO:
                spelt.add(path)
            elif is_name or len(set(words)) > 2:
                offenders.append(f"{path}: {text!r}")
    assert not offenders, "read kaimesh.config.roles instead"
    assert spelt == set(ALSO_CALLED_SO), "these need no exception any more"


def _texts(text: str) -> Iterator[str]:
    """Every string of a source, and every part of one, docstrings aside."""
    tree = ast.parse(text)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
