"""timed.py COMMAND...: prints seconds of wall time and of processor time that it took, and its peak memory in bytes."""
import os
import subprocess
import sys
import time

begun = time.perf_counter()
running = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
_, status, used = os.wait4(running.pid, 0)
wall = time.perf_counter() - begun
if status != 0:
    sys.exit(os.waitstatus_to_exitcode(status))
print(f"{wall:.4f} {used.ru_utime + used.ru_stime:.4f} {used.ru_maxrss * 1024}")
