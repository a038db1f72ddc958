"""exchange.py LOAD SIZE CONNECTIONS MESSAGES SERVER...: starts SERVER with a port as its last argument on core 0 and
LOAD on core 1. Prints seconds of wall time, of
the server's processor time, and the share of its core that LOAD used."""
import pathlib
import socket
import subprocess
import sys
import time


def processor_seconds(pid):
    threads = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(t.read_text().split()[0]) for t in threads) / 1e9


load, size, connections, messages, *server = sys.argv[1:]
with socket.create_server(("127.0.0.1", 0)) as s:
    port = s.getsockname()[1]
serving = subprocess.Popen(["taskset", "-c", "0", *server, str(port)], stderr=subprocess.DEVNULL)
try:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            if serving.poll() is not None:
                sys.exit(f"{server[0]} ended with {serving.returncode}")
            time.sleep(0.02)
    else:
        sys.exit(f"{server[0]} does not listen")
    done = subprocess.run(["taskset", "-c", "1", load, str(port), size, connections, messages],
                          stdout=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != 0:
        sys.exit(f"load: exit {done.returncode}")
    wall, share = map(float, done.stdout.split())
    # The load begins with a tenth more, which is in here too.
    print(wall, processor_seconds(serving.pid) / 1.1, share / wall)
finally:
    serving.kill()
    serving.wait()
