#!/usr/bin/env bash
# wrk BASE COUNT CONCURRENCY: wrk runs for a time; this prints what COUNT requests took at its rate.
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
rate=$(wrk -t1 -c"$3" -d2s -s "$script" "$1" | sed -n 's/^Requests\/sec: *//p')
awk -v n="$2" -v rate="$rate" 'BEGIN { printf "%.4f\n", n / rate }'
