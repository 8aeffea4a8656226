"""Nothing of evolm needs at import what Windows or macOS lack, and functions ask before they use it."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from evolm import interrupts

ROOT = Path(__file__).parents[1]

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}  # Windows has none of them
NAMES = {
    "os": (
        "chown chroot fchmod fchown fork forkpty getegid geteuid getgid getloadavg getpgid getpgrp "
        "getpriority getsid getuid initgroups killpg mkfifo mknod nice O_CLOEXEC O_DIRECTORY O_NOFOLLOW "
        "posix_fadvise posix_fallocate posix_spawn preadv pwritev register_at_fork sched_getaffinity "
        "sched_setaffinity sched_yield setpgid setsid setuid statvfs sysconf uname wait waitid WNOHANG"
    ),
    "signal": (
        "alarm pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigwait sigtimedwait "
        "SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 "
        "SIG_BLOCK SIG_SETMASK SIG_UNBLOCK"
    ),
    "time": "clock_gettime pthread_getcpuclockid tzset",
    "socket": "AF_UNIX",
}
ATTRIBUTES = {module: names.split() for module, names in NAMES.items()}


def sources() -> list[Path]:
    return sorted((ROOT / "evolm").rglob("*.py"))


def functions(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the functions of a module that lie in no other, and the statements outside of functions."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from node.body
        else:
            yield node


def guarded(function: ast.AST, name: str) -> bool:
    """Return whether a function asks for an attribute by ``hasattr``, or for the system first.

    Constants come with their function.
    """
    asked = "pthread_sigmask" if name.startswith("SIG_") else name
    text = ast.unparse(function)
    return f"'{asked}')" in text or "if sys.platform != 'linux':\n        return" in text


def imported(node: ast.AST) -> set[str]:
    """Return the modules that a node imports."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    return {node.module or ""} if isinstance(node, ast.ImportFrom) and not node.level else set()


def test_no_module_imports_what_windows_lacks() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources()
        for function in functions(ast.parse(path.read_text(encoding="utf-8")))
        for node in ast.walk(function)
        for name in MODULES & imported(node)
        if not (isinstance(function, ast.FunctionDef) and guarded(function, name))
    ]
    assert found == []


def test_what_windows_lacks_is_used_only_after_it_was_asked_for() -> None:
    found = []
    for path in sources():
        for function in functions(ast.parse(path.read_text(encoding="utf-8"))):
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    lacking = ATTRIBUTES.get(node.value.id, ())
                    if node.attr in lacking and not guarded(function, node.attr):
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value.id}.{node.attr}")
    assert found == []


IMPORT_ALL = """
import importlib, importlib.abc, pkgutil, sys
import evolm
from evolm.errors import MissingPackage

def import_all():
    for module in pkgutil.walk_packages(evolm.__path__, "evolm."):
        if module.name == "evolm.__main__":  # runs the command line
            continue
        try:
            importlib.import_module(module.name)
        except MissingPackage:
            pass

import_all()  # what evolm uses is loaded as on this system
for name in [name for name in sys.modules if name == "evolm" or name.startswith("evolm.")]:
    del sys.modules[name]

class Lacking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in MODULES:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Lacking())
for module, names in ATTRIBUTES.items():
    for name in names:
        if hasattr(sys.modules.get(module), name):
            delattr(sys.modules[module], name)
import evolm
import_all()
print("imported", sum(name.startswith("evolm.") for name in sys.modules))
"""


@pytest.mark.slow
def test_every_module_is_imported_where_windows_has_nothing() -> None:
    code = f"MODULES, ATTRIBUTES = {MODULES!r}, {ATTRIBUTES!r}\n{IMPORT_ALL}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 150


def test_a_second_signal_is_sent_where_threads_get_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(interrupts.signal, "pthread_kill")
    worker = type("Worker", (), {"stop_signal": None})()
    with pytest.raises(KeyboardInterrupt):
        with interrupts.interruptible(worker, grace=0.0):
            interrupts.signal.raise_signal(interrupts.signal.SIGINT)
            threading.Event().wait(60)
