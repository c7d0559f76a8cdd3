"""Dependencies point down only (docs/architecture.md); this walks every import in the source to keep it so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SERVICES = {"aisrv", "actor", "learner", "model_pool", "buffer"}
PACKAGES = SERVICES | {"kaimesh", "algorithms", "diy", "envs", "arena", "operate"}
# What the moves alone do not settle.
UNSETTLED = {("buffer", "learner"), ("learner", "buffer"), ("algorithms", "envs"), ("arena", "operate")}
SERVICE_FILES = {"__init__.py", "__main__.py", "service.py"}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_every_room_is_found_below_kaimesh() -> None:
    assert {path.name: path.readlink() for path in (ROOT / "kaimesh").iterdir() if path.is_symlink()} == {
        room: Path("..") / room for room in PACKAGES - {"kaimesh", "diy"}
    }


def imports(path: Path) -> set[str]:
    """Every module that the file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def allowed(package: str, module: str) -> bool:
    """Whether a file of `package` may import `module`, one of ours by its name below `kaimesh`."""
    target, *inside = module.split(".")
    if target == package or target not in PACKAGES:
        return True
    if (package, target) in UNSETTLED:
        return True
    if package in SERVICES and target in SERVICES:
        return not inside or inside[0] in ("client", "sending")
    return package in ("aisrv", "arena") and target == "envs"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for module in imports(path):
        first = module.split(".")[0]
        assert first == "diy" or first not in PACKAGES - {"kaimesh"}, f"{path.relative_to(ROOT)} imports {module}"
        if first == "kaimesh":
            assert allowed(package, module.partition(".")[2]), f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_stay_where_they_belong(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    roots = {module.split(".")[0] for module in imports(path)}
    if package not in ("buffer", "learner"):
        assert "reverb" not in roots
    if package == "algorithms":
        assert not roots & {"grpc", "reverb", "gymnasium", "socket"}
    if package in ("aisrv", "envs"):
        assert "tensorflow" not in roots
    assert not roots & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}, "nothing is pickled"


@pytest.mark.parametrize("package", sorted(SERVICES))
def test_every_service_has_the_same_files(package: str) -> None:
    assert {path.name for path in (ROOT / package).glob("*.py")} >= SERVICE_FILES
    assert len((ROOT / package / "__main__.py").read_text().splitlines()) <= 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short(path: Path) -> None:
    if not path.stem.endswith(("_pb2", "_pb2_grpc")):
        assert len(path.read_text().splitlines()) <= 350


INITS = sorted(path for path in FILES if path.name == "__init__.py" and path.relative_to(ROOT).parts[0] != "diy")


@pytest.mark.parametrize("path", INITS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_a_package_names_its_modules(path: Path) -> None:
    """All of them, and in its lists (`name  what it is`) nothing that is not there."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    inside = [
        file.stem for file in path.parent.glob("*.py") if not file.stem.startswith("__") and "_pb2" not in file.stem
    ]
    inside += [file.parent.name for file in path.parent.glob("*/__init__.py") if not file.parent.is_symlink()]
    assert not [name for name in inside if not re.search(rf"\b{name}\b", text)], "its docstring does not name these"
    listed = re.findall(r"^(\w+) (?: +)\S", text, re.MULTILINE)
    assert not set(listed) - set(inside), "its docstring lists these, which are not there"
