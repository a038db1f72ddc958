#!/usr/bin/env bash
# wrk.sh BASE COUNT CONCURRENCY: wrk runs for two seconds. Prints what COUNT requests take at its rate: seconds of wall
# time and of its own processor time; and how many it made besides COUNT, as a part of COUNT.
set -euo pipefail
script=$(mktemp)
trap 'rm -f "$script"' EXIT
cat >"$script" <<LUA
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "/" .. (n % $2))
end
LUA
out=$(TIMEFORMAT='used %U %S'; { time wrk -t1 -c"$3" -d2s -s "$script" "$1"; } 2>&1)
awk -v n="$2" '
  /requests in/ { count = $1 }
  /^Requests\/sec:/ { rate = $2 }
  /^used/ { used = $2 + $3 }
  /Socket errors|Non-2xx/ { print "wrk: " $0 > "/dev/stderr"; failed = 1 }
  END {
    if (failed || !rate) exit 1
    printf "%.6f %.6f %.6f\n", n / rate, used * n / count, count / n - 1
  }' <<<"$out"
