"""Time to compile, to an object and without optimisation: an echo server, and each public header alone.

"coroutine+vector" is the yardstick: those two headers of the standard library, the least that such a program includes.
Among the headers "oneloop" are all of ours in one file, and peak is the compiler's memory.
"""
import pathlib
import subprocess
import sys

import peers

ROOT = pathlib.Path(__file__).resolve().parents[2]
ECHO = "an echo server"


class Setup(peers.Comparison):
    cases = (ECHO, "headers alone")
    fields = ("wall", "cpu", "peak")
    items = 1
    alone, together = 0.6, 1.0  # seconds that a header, and all of them, may take

    def commands(self):
        self.headers = {}  # by the peers' names
        self.compiling("coroutine+vector", "-include", "coroutine", "-include", "vector", "/dev/null")
        if self.case == ECHO:
            self.compiling("oneloop", ROOT / "examples/echo/async.cpp")
            self.compiling("oneloop fibers", ROOT / "examples/echo/green.cpp")
            self.compiling("oneloop callbacks", ROOT / "examples/echo/callbacks.cpp")
            self.compiling("asio", self.folder / "asio.cc")
            self.compiling("boost asio", "-DBOOST", self.folder / "asio.cc")
        else:
            listed = subprocess.run([ROOT / "tools/sources", "public"], capture_output=True, text=True, check=True)
            self.headers = {header.removeprefix("oneloop/"): header for header in listed.stdout.split()}
            self.including("oneloop", *self.headers.values())
            for name, header in self.headers.items():
                self.including(name, header)
            self.including("asio.hpp", "asio.hpp")
            self.including("boost/asio.hpp", "utility", "boost/asio.hpp")  # the first is forgotten in 1.74
        return self.peers.commands

    def including(self, name, *headers):
        self.compiling(name, *(word for header in headers for word in ("-include", header)), "/dev/null")

    def compiling(self, name, *source):
        timed = [sys.executable, self.folder.parent / "timed.py", "env", "CCACHE_DISABLE=1"]
        gcc = ["g++", "-std=c++23", "-O0", "-c", "-I", ROOT, "-o", self.peers.build / "out.o", "-x", "c++"]
        self.peers.add(name, *timed, *gcc, *source, tool="g++")

    def note(self, rows):
        # Processor time: what else the machine does changes it little.
        took = {name: rows[name]["cpu_us"] / 1e6 for name in rows if "cpu_us" in rows[name]}
        ours = sorted((took[name], name) for name in self.headers if name in took)
        if not ours:
            return ""
        over = sum(seconds > self.alone for seconds, _ in ours)
        slowest = ", ".join(f"{name} {seconds:.2f} s" for seconds, name in reversed(ours[-10:]))
        return (f"Of processor time, {over} of {len(ours)} headers take more than {self.alone} s; all together take "
                f"{took.get('oneloop', float('nan')):.2f} s, and may take {self.together} s. The slowest: {slowest}.")
