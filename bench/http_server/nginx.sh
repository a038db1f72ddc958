#!/usr/bin/env bash
# nginx.sh DIR PORT: nginx in one process says "hello, world" to everybody. Its files are in DIR.
set -euo pipefail
mkdir -p "$1"
cat >"$1/conf" <<CONF
master_process off;
daemon off;
pid $1/pid;
error_log $1/error.log;
events { worker_connections 2048; }
http {
  access_log off;
  keepalive_requests 100000000;
  server {
    listen 127.0.0.1:$2 backlog=1024;
    location / { default_type text/plain; return 200 "hello, world\n"; }
  }
}
CONF
exec "$(command -v nginx || echo /usr/sbin/nginx)" -c "$1/conf" -e "$1/error.log"
