#!/usr/bin/env bash
# wrk.sh PORT COUNT CONNECTIONS: wrk runs for half a second and then for two. Prints what COUNT requests take at its
# later rate: seconds of wall time and of its own processor time; and how many it made besides COUNT, as a part of
# COUNT.
set -euo pipefail
load() { wrk -t1 -c"$connections" -d"$1" "http://127.0.0.1:$port/"; }
port=$1 connections=$3
out=$(load 0.5s; TIMEFORMAT='used %U %S'; { time load 2s; } 2>&1)
awk -v n="$2" '
  /requests in/ { all += $1; count = $1 }
  /^Requests\/sec:/ { rate = $2 }
  /^used/ { used = $2 + $3 }
  /Socket errors|Non-2xx/ { print "wrk: " $0 > "/dev/stderr"; failed = 1 }
  END {
    if (failed || !rate) exit 1
    printf "%.6f %.6f %.6f\n", n / rate, used * n / count, all / n - 1
  }' <<<"$out"
