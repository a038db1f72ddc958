"""with_server.py server|load LOAD... -- SERVER...: starts SERVER with a port as its last argument on core 0, and LOAD
on core 1 with the same port in place of PORT. LOAD prints seconds of wall time and of its own processor time. This
prints the wall time, the processor time of the one that is named first, and the share of its core that the other used.
"""
import pathlib
import socket
import subprocess
import sys
import time


def processor_seconds(pid):
    threads = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(t.read_text().split()[0]) for t in threads) / 1e9


split = sys.argv.index("--")
measured, load, server = sys.argv[1], sys.argv[2:split], sys.argv[split + 1:]
with socket.create_server(("127.0.0.1", 0)) as s:
    port = str(s.getsockname()[1])
serving = subprocess.Popen(["taskset", "-c", "0", *server, port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", int(port))).close()
            break
        except OSError:
            if serving.poll() is not None:
                sys.exit(f"{server[0]} ended with {serving.returncode}")
            time.sleep(0.02)
    else:
        sys.exit(f"{server[0]} does not listen")
    before = processor_seconds(serving.pid)
    done = subprocess.run(["taskset", "-c", "1", *(a.replace("PORT", port) for a in load)],
                          stdout=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != 0:
        sys.exit(f"{load[0]}: exit {done.returncode}")
    wall, used, *warming = map(float, done.stdout.split())
    # Where LOAD says how much of its work came before its clock started, it is taken off the server's time too.
    serving_time = (processor_seconds(serving.pid) - before) / (1 + sum(warming))
    print(wall, *((serving_time, used / wall) if measured == "server" else (used, serving_time / wall)))
finally:
    serving.kill()
    serving.wait()
