"""Processes that die by SIGKILL at every step of what they do to files."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]

# The first argument is the code to run; for each line read, a child runs it and dies at the step of that number.
_RUNNER = """
import builtins, io, json, os, signal, sys

code, sys.argv = json.loads(sys.argv[1]), ["-c", *sys.argv[2:]]
_steps = {"left": 0}
_last_words = os.pipe()

def _die(what):
    _write(_last_words[1], what.encode())
    os.kill(os.getpid(), signal.SIGKILL)

def _is_last():
    _steps["left"] -= 1
    return _steps["left"] == 0

def _named(name, real, half):
    def step(*args, **more):
        if _is_last():
            if half is not None:
                half(real, *args, **more)
            _die(name + " " + " ".join(os.path.basename(a) for a in map(str, args[:1])))
        return real(*args, **more)
    return step

_write = os.write

class _File(io.FileIO):
    def write(self, content):
        if _is_last():
            view = memoryview(content).cast("B")
            super().write(view[: len(view) // 2])
            _die("write " + os.path.basename(str(self.name)))
        return super().write(content)

    def truncate(self, size=None):
        if _is_last():
            _die("truncate " + os.path.basename(str(self.name)))
        return super().truncate(size)

_open = io.open

def _counted_open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
    if not set(mode) & set("wax+"):
        return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    raw = _File(file, mode.replace("b", "").replace("t", ""), closefd, opener)
    if buffering == 0:
        return raw
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    file = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw, size)
    return file if "b" in mode else io.TextIOWrapper(file, encoding, errors, newline)

def _half_write(real, descriptor, content, *rest):
    content = memoryview(content).cast("B")
    real(descriptor, content[: len(content) // 2], *rest)

def _arm(step):
    _steps["left"] = step
    names = "fsync fdatasync rename replace unlink remove link truncate ftruncate sendfile copy_file_range"
    for name in names.split():
        setattr(os, name, _named(name, getattr(os, name), None))
    for name in ("write", "pwrite"):
        setattr(os, name, _named(name, getattr(os, name), _half_write))
    builtins.open = io.open = _counted_open

exec(compile(code["setup"], "setup", "exec"), globals())
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            _arm(int(line))
            exec(compile(code["code"], "code", "exec"), globals())
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # Said when it is dead, and not before.
    died = status == -signal.SIGKILL
    print("died in " + os.read(_last_words[0], 1000).decode() if died else f"ended {status}", flush=True)
"""


def deaths(setup: str, code: str, *arguments: object, at_most: int = 300) -> Iterator[str]:
    """Run `code` in processes that die at their first step, at their second, and so on, until one ends by itself.

    A step is a write or pwrite (half of its bytes arrive), fsync, rename, replace, unlink, link, truncate or copy of a
    file by Python; not what numpy's `tofile` or mapped memory write. Yields what each process died in, for example
    `replace .a.part`, so that the test looks at what is left. `setup` (imports, preparations) runs once, before;
    `arguments` are `sys.argv[1:]` of both. Raises AssertionError when a process ends with an error.
    """
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", _RUNNER]
    command += [json.dumps({"setup": setup, "code": code}), *map(str, arguments)]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as runner,
    ):
        assert runner.stdin is not None
        assert runner.stdout is not None
        for step in range(1, at_most + 1):
            runner.stdin.write(f"{step}\n")
            runner.stdin.flush()
            said = runner.stdout.readline().strip()
            if said == "ended 0":
                return
            if not said.startswith("died in "):
                errors.seek(0)
                raise AssertionError(f"step {step}: the process {said or 'could not start'}: {errors.read()}")
            yield said.removeprefix("died in ")
        raise AssertionError(f"the process has more than {at_most} steps")
