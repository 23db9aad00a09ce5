"""House rules, checked in the source: imports, declared packages, forbidden calls, lengths."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(ROOT.glob("*.py"))
MODULES = sorted((ROOT / "src").rglob("*.py"))
OTHERS = [*sorted((ROOT / "benchmarks").glob("*.py")), *sorted((ROOT / "docs").rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MIDDLE = {"data_handlers", "masker", "model", "loss"}
MAY_IMPORT = {
    "util": {"util"},
    **{package: {"util", package} for package in MIDDLE},
    "trainer": {"util", *MIDDLE, "trainer"},
    "scripts": {"util", *MIDDLE, "trainer"},
}
# From low to high: a subpackage imports only itself and those before it.
LAYERS = {
    "trainer": [
        "network", "finish", "checkpoints", "optim", "objective", "parallel", "config", "evaluation",
        "report", "training", "inference", "adapt", "demo",
    ],
    "data_handlers": ["datasets", "samples", "loading", "preparation", "submission"],
}  # fmt: skip
NEVER_TOGETHER, ABOVE_BOTH = {"training", "inference"}, {"adapt", "demo"}
# Names of distributions that differ from their modules.
DISTRIBUTION = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
    "pywt": "pywavelets",
}
MAX_FILE, MAX_FUNCTION = 300, 60
REGISTRIES = {
    "src/data_handlers/__init__.py": "DATASETS",
    "src/loss/losses.py": "LOSSES",
    "src/masker/__init__.py": "MASKERS",
    "src/model/__init__.py": "MODELS",
    "src/model/denoiser.py": "NETWORKS",
    "src/trainer/objective/__init__.py": "OBJECTIVES",
    "src/trainer/optim/optimizers.py": "OPTIMIZERS",
    "src/trainer/optim/schedulers.py": "SCHEDULERS",
}


def each(*paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.relative_to(ROOT).as_posix())


each_file = each(*SCRIPTS, *MODULES, *OTHERS)


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path):
    """Yield the modules that a file imports."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module


def package_of(path):
    """Return the package of `src` of a file, or "scripts" for others."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "src" and len(parts) > 2 else "scripts"


@each_file
def test_imports_go_one_way(path):
    packages = {name.split(".")[1] for name in imported(path) if name.startswith("src.")}
    assert packages <= MAY_IMPORT[package_of(path)]


@pytest.mark.parametrize("package", LAYERS)
def test_a_subpackage_imports_only_lower_ones(package):
    layers = LAYERS[package]
    paths = [path for path in MODULES if path.relative_to(ROOT).parts[1] == package]
    assert {path.parent.name for path in paths} == {package, *layers}
    for path in paths:
        own = path.parent.name
        others = {name.split(".")[2] for name in imported(path) if name.startswith(f"src.{package}.")}
        if own == package:  # its `__init__` may import all
            continue
        assert all(layers.index(other) <= layers.index(own) for other in others), path
        # Only adaptation trains and denoises.
        assert own in ABOVE_BOTH or not {own, *others} >= NEVER_TOGETHER, path


@each(*(path for path in MODULES if path.name == "__init__.py" and path.parent.name != "src"))
def test_each_package_docstring_names_its_modules(path):
    inside = {child.stem for child in path.parent.glob("*.py")} - {"__init__"}
    inside |= {child.parent.name for child in path.parent.glob("*/__init__.py")}
    missing = {name for name in inside if not re.search(rf"\b{name}\b", ast.get_docstring(tree(path)))}
    assert missing == set()


def test_src_has_six_packages():
    assert {path.parent.name for path in ROOT.glob("src/*/__init__.py")} == {"util", "trainer", *MIDDLE}


def declared(requirements):
    lines = (ROOT / requirements).read_text().splitlines()
    names = (re.match(r"[A-Za-z0-9_.-]+", line) for line in lines if not line.startswith(("#", "-")))
    extras = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    optional = re.findall(r'^\w+ = \["([A-Za-z0-9_.-]+)', extras.partition("\n[")[0], re.MULTILINE)
    return {name[0].lower() for name in names if name} | set(optional)


@each_file
def test_c17_every_import_is_declared(path):
    tops = (
        {name.split(".")[0] for name in imported(path)}
        - sys.stdlib_module_names
        - {"src", "benchmarks", "docs"}
    )
    names = {DISTRIBUTION.get(top, top).lower().replace("_", "-") for top in tops}
    known = declared("requirements.txt") | {"pydantic-core"}  # pydantic depends on its exact version
    if ROOT / "docs" in path.parents:  # only tests run it
        known |= declared("requirements-dev.txt")
    assert names - known == set()


def calls(path):
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]


@each_file
def test_k17_torch_load_unpickles_only_weights(path):
    for call in calls(path):
        if ast.unparse(call.func) == "torch.load":
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert keywords.get("weights_only") == "True", f"{path}, line {call.lineno}"
            assert "map_location" in keywords, f"{path}, line {call.lineno}"  # k18


@each_file
def test_no_call_executes_text_or_pickles(path):
    banned = {"pickle", "dill", "shelve", "marshal", "joblib"}
    assert not banned & {name.split(".")[0] for name in imported(path)}
    for call in calls(path):
        name = ast.unparse(call.func)
        assert name not in {"eval", "exec", "compile", "__import__", "os.system", "importlib.import_module"}
        assert name not in {"yaml.load", "yaml.unsafe_load", "yaml.full_load"}
        allow_pickle = [keyword for keyword in call.keywords if keyword.arg == "allow_pickle"]
        assert not any(ast.unparse(keyword.value) == "True" for keyword in allow_pickle)


@each_file
def test_e1_no_global_randomness_and_no_device_by_name(path):
    allowed = {"src/trainer/config/build.py", "src/util/device.py", "src/util/seed.py"}
    if path not in {*SCRIPTS, *MODULES} or path.relative_to(ROOT).as_posix() in allowed:
        return
    for call in calls(path):
        name = ast.unparse(call.func)
        assert not name.endswith(".cuda")
        assert name not in {"torch.manual_seed", "torch.cuda.is_available", "torch.cuda.device_count"}
        assert not re.match(r"(np\.random|numpy\.random|random)\.", name)


def length(node, end):
    """Count the lines of a file or function up to line `end`, without docstrings."""
    lines = end - getattr(node, "lineno", 1) + 1
    for inner in ast.walk(node):
        if isinstance(inner, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(inner):
            lines -= inner.body[0].end_lineno - inner.body[0].lineno + 1
    return lines


@each(*SCRIPTS, *MODULES, *OTHERS, *TESTS)
def test_files_are_short(path):
    assert length(tree(path), len(path.read_text(encoding="utf-8").splitlines())) <= MAX_FILE


@each_file
def test_functions_are_short(path):
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
    lengths = {function.name: length(function, function.end_lineno) for function in functions}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION} == {}


@pytest.mark.parametrize(("path", "name"), REGISTRIES.items())
def test_a_registry_is_a_plain_table(path, name):
    """Its keys are strings and its values names, with no look-up of files or modules."""
    for node in tree(ROOT / path).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node.value, ast.Dict)
            assert all(
                isinstance(key, ast.Constant) and isinstance(key.value, str) for key in node.value.keys
            )
            assert all(isinstance(value, ast.Name) for value in node.value.values)
            return
    pytest.fail(f"{path} defines no {name}")


def test_c18_stray_folders_and_files_in_packages_are_ignored(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for package in ("util", "trainer", *MIDDLE):
        stray = tmp_path / "src" / package / ".ipynb_checkpoints"
        stray.mkdir()
        (stray / "a.py").write_text("this is no Python\n")
        (stray.parent / "notes (copy).py").write_text("nor is this\n")
        (stray.parent / "old").mkdir()
    code = (
        "import src.trainer.training.session as s; from src.masker import MASKERS;"
        "from src.data_handlers import DATASETS; print(s.__file__, sorted(MASKERS), len(DATASETS))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(tmp_path))
    assert "['Masker', 'N2V_Masker'] 12" in result.stdout
