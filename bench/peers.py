"""What the folders' compare.py share: peers that have to be built, and how they are left out."""
import functools
import os
import pathlib
import shutil
import subprocess
import sys

PYTHON = "/usr/bin/python3"
PATH = os.environ["PATH"] + ":/usr/sbin"  # where Debian has nginx


class Skipped(Exception):
    """Raised by a Comparison that cannot run at all: why."""


def reason(errors):
    """The line of a program's messages that says most about why it failed; empty if there are none."""
    lines = errors.strip().splitlines() or [""]
    return next((line for line in lines if "error" in line), lines[-1]).strip()


@functools.cache
def _failure(command, folder):
    """Why `command` failed in `folder`; None if it did not. It runs once."""
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        return f"there is no {command[0]}"
    return None if done.returncode == 0 else reason(done.stderr) or f"{command[0]} failed"


class Peers:
    """Commands by name, and why a peer is not among them. Only those that are wanted are built, in a folder beside
    `bin_dir`: all, or those with a name in `wanted` or a first word ("go" means "go 2", too), and `always`."""

    known = set()  # all such names there are, in any of them

    def __init__(self, folder, bin_dir, wanted, always):
        self.folder, self.bin = folder, bin_dir
        self.all_built = bin_dir.parent / "peers"
        self.build = self.all_built / folder.name
        self.build.mkdir(parents=True, exist_ok=True)
        self.wanted, self.always = wanted, always
        self.commands, self.skipped = {}, {}

    def wants(self, name):
        names = {name, name.split()[0]}
        self.known |= names
        return not self.wanted or bool(names & self.wanted) or name in self.always

    def add(self, name, *command, tool=None, make=None):
        """`command` is a peer; where it is wanted, there must be a `tool`, and the command `make` must succeed."""
        if not self.wants(name):
            return
        why = f"there is no {tool}" if tool and shutil.which(tool, path=PATH) is None else None
        if why is None and make is not None:
            why = _failure(tuple(map(str, make)), self.folder)
        if why is None:
            self.commands[name] = [*map(str, command)]
        else:
            self.skipped[name] = why

    def oneloop(self, name, *arguments):
        self.add(name, self.bin / f"bench_{self.folder.name}", *arguments)

    # Small programs of ours.

    def _compiling(self, compiler, source, flags):
        program = self.build / source.replace(".", "_")
        return program, [compiler, "-O2", "-o", program, source, *flags]

    def compiled(self, name, compiler, source, flags, *arguments):
        program, make = self._compiling(compiler, source, flags)
        self.add(name, program, *arguments, tool=compiler, make=make)

    def load(self, compiler, source, flags=()):
        """A program that is no peer, but nothing can be measured without it."""
        program, make = self._compiling(compiler, source, flags)
        if why := _failure(tuple(map(str, make)), self.folder):
            raise Skipped(why)
        return str(program)

    def go(self, name, source, *arguments):
        program = self.build / source.replace(".", "_")
        self.add(name, program, *arguments, tool="go", make=["go", "build", "-o", program, source])

    def tokio(self, name, source, *arguments, more=""):
        """`more`: lines of dependencies besides tokio."""
        if not self.wants(name):
            return
        project = self.build / source.replace(".", "_")
        project.mkdir(exist_ok=True)
        program = f"{self.folder.name}_{pathlib.Path(source).stem}"
        (project / "Cargo.toml").write_text(f"""
[package]
name = "{program}"
version = "0.0.0"
edition = "2021"

[[bin]]
name = "{program}"
path = "{self.folder / source}"

[dependencies]
tokio = {{ version = "~1.38", features = ["rt", "sync", "time", "net", "io-util", "process"] }}
{more}""")
        built = self.all_built / "cargo"  # one for all of them: they have most dependencies in common
        make = ["cargo", "build", "--release", "--quiet", "--target-dir", built]
        make += ["--manifest-path", project / "Cargo.toml"]
        self.add(name, built / "release" / program, *arguments, tool="cargo", make=make)

    def python(self, name, modules, source, *arguments):
        """`modules`: what the peer imports, with commas."""
        self.add(name, PYTHON, self.folder / source, *arguments, make=[PYTHON, "-c", f"import {modules}"])

    def script(self, name, tool, source, *arguments, needs=None):
        """`needs`: a tool that the script calls."""
        self.add(name, tool, self.folder / source, *arguments, tool=needs or tool)

    def node(self, name, package, version, source, *arguments):
        """A script of ours that requires a package of npm."""
        command = ["env", f"NODE_PATH={self.build / 'node_modules'}", "node", self.folder / source, *arguments]
        self.add(name, *command, tool="node", make=self._npm(package, version))

    # Whole programs of others: as they are installed, or in one version, fetched once.

    def installed(self, name, *arguments):
        self.add(name, name, *arguments, tool=name)

    def module(self, name, path, version, *arguments):
        program = self.build / name
        make = ["env", f"GOBIN={self.build}", "go", "install", f"{path}@{version}"]
        self.add(name, program, *arguments, tool="go", make=None if program.exists() else make)

    def crate(self, name, version, *arguments):
        program = self.build / "bin" / name
        make = ["cargo", "install", "--quiet", "--root", str(self.build), f"{name}@{version}"]
        self.add(name, program, *arguments, tool="cargo", make=None if program.exists() else make)

    def npm(self, name, version, script, *arguments):
        package = self.build / "node_modules" / name
        self.add(name, "node", package / script, *arguments, tool="node", make=self._npm(name, version))

    def _npm(self, package, version):
        if (self.build / "node_modules" / package).exists():
            return None
        return ["npm", "install", "--silent", "--prefix", self.build, f"{package}@{version}"]


class Comparison:
    """What a compare.py gives to bench/run, where nothing has to be started first: `commands` fills in the rest."""

    cases = (None,)  # one run of the benchmark for each; `case` is which
    paired = None  # the peer that is run again before each other one, for ratios that the weather leaves alone
    fields = ("wall", "cpu", "bytes", "start")  # what a peer prints: as many of them as it knows
    timeout = 120  # seconds of one run

    def __init__(self, folder, bin_dir, wanted=frozenset(), case=None):
        self.folder, self.bin, self.case = folder, bin_dir, case
        self.peers = Peers(folder, bin_dir, wanted, {"oneloop", self.paired})
        self.fewer, self.cores = {}, {}  # by peer: items, where others than `items`, and cores, where others than "1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def note(self, rows):
        """What is to be said below the results."""
        return ""

    def served(self, servers, *load):
        """For a benchmark of servers: its commands are `load`, with PORT where the server's port belongs, beside each
        server, which takes the port as its last argument."""
        self.fields = ("wall", "cpu", "load")
        return self._beside({name: ("server", load, server) for name, server in servers.items()})

    def serving(self, clients, *server):
        """For a benchmark of clients: PORT stands in their arguments."""
        self.fields = ("wall", "cpu", "server")
        return self._beside({name: ("load", client, server) for name, client in clients.items()})

    def _beside(self, both):
        self.cores = dict.fromkeys(both, "0,1")
        wrap = [sys.executable, str(pathlib.Path(__file__).with_name("with_server.py"))]
        return {name: [*wrap, measured, *load, "--", *server] for name, (measured, load, server) in both.items()}
