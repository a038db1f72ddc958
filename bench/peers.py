"""What the folders' compare.py share: peers that have to be built, and how they are left out."""
import pathlib
import shutil
import subprocess
import sys

PYTHON = "/usr/bin/python3"


class Peers:
    """Commands by name, and why a peer is not among them. Builds in a folder beside `bin_dir`."""

    def __init__(self, folder, bin_dir):
        self.folder = folder
        self.build = bin_dir.parent / "peers" / folder.name
        self.build.mkdir(parents=True, exist_ok=True)
        self.commands, self.skipped = {}, {}

    def _built(self, name, tool, command, program, arguments):
        if shutil.which(tool) is None:
            self.skipped[name] = f"there is no {tool}"
            return
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode == 0:
            self.commands[name] = [str(program), *arguments]
        else:
            lines = done.stderr.strip().splitlines() or ["not built"]
            self.skipped[name] = next((line for line in lines if "error" in line), lines[-1])

    def go(self, name, source, *arguments):
        program = self.build / name
        self._built(name, "go", ["go", "build", "-o", str(program), source], program, arguments)

    def compiled(self, name, compiler, source, flags, *arguments):
        program = self.build / name
        self._built(name, compiler, [compiler, "-O2", "-o", str(program), source, *flags], program, arguments)

    def tokio(self, source, *arguments, name="tokio", more=""):
        """`more`: lines of dependencies besides tokio."""
        project = self.build / name
        project.mkdir(exist_ok=True)
        (project / "Cargo.toml").write_text(f"""
[package]
name = "peer"
version = "0.0.0"
edition = "2021"

[[bin]]
name = "peer"
path = "{self.folder / source}"

[dependencies]
tokio = {{ version = "~1.38", features = ["rt", "sync", "time", "net", "io-util", "process"] }}
{more}""")
        command = ["cargo", "build", "--release", "--quiet", "--manifest-path", str(project / "Cargo.toml")]
        self._built(name, "cargo", command, project / "target/release/peer", arguments)

    def python(self, module, source, *arguments, name=None):
        if subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode == 0:
            self.commands[name or module] = [PYTHON, str(self.folder / source), *arguments]
        else:
            self.skipped[name or module] = f"Python's {module} is not installed"

    def installed(self, name, tool, *arguments):
        program = shutil.which(tool)
        if program is None:
            self.skipped[name] = f"there is no {tool}"
        else:
            self.commands[name] = [program, *arguments]

    # Whole programs of others, in one version, built once.

    def _fetched(self, name, tool, command, program, *run):
        if program.exists():
            self.commands[name] = [*run]
        else:
            self._built(name, tool, command, run[0], run[1:])

    def module(self, name, path, version, *arguments):
        program = self.build / name
        command = ["env", f"GOBIN={self.build}", "go", "install", f"{path}@{version}"]
        self._fetched(name, "go", command, program, str(program), *arguments)

    def crate(self, name, version, *arguments):
        program = self.build / "bin" / name
        command = ["cargo", "install", "--quiet", "--root", str(self.build), f"{name}@{version}"]
        self._fetched(name, "cargo", command, program, str(program), *arguments)

    def npm(self, name, version, script, *arguments):
        program = self.build / "node_modules" / name / script
        command = ["npm", "install", "--silent", "--prefix", str(self.build), f"{name}@{version}"]
        self._fetched(name, "npm", command, program, shutil.which("node") or "node", str(program), *arguments)

    def interpreted(self, name, tool, source, *arguments):
        program = shutil.which(tool)
        if program is None:
            self.skipped[name] = f"there is no {tool}"
        else:
            self.commands[name] = [program, str(self.folder / source), *arguments]


class Comparison:
    """What a compare.py gives to bench/run, where nothing has to be started first: `commands` fills in the rest."""

    cases = (None,)  # one run of the benchmark for each; `case` is which
    paired = None  # the peer that is run again before each other one, for ratios that the weather leaves alone
    fields = ("wall", "cpu", "bytes", "start")  # what a peer prints: as many of them as it knows
    timeout = 120  # seconds of one run

    def __init__(self, folder, bin_dir, case=None):
        self.folder, self.bin, self.case = folder, bin_dir, case
        self.skipped, self.fewer, self.cores = {}, {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def served(self, servers, *load):
        """For a benchmark of servers: its commands are `load`, with PORT where the server's port belongs, beside each
        server, which takes the port as its last argument."""
        self.fields = ("wall", "cpu", "load")
        self.cores = dict.fromkeys(servers, "0,1")
        wrap = [sys.executable, str(pathlib.Path(__file__).with_name("with_server.py")), *load, "--"]
        return {name: [*wrap, *server] for name, server in servers.items()}
