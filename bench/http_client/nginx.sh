#!/usr/bin/env bash
# nginx.sh DIR PORT: nginx in one process has 1 KiB for everybody. Its files are in DIR.
set -euo pipefail
mkdir -p "$1"
cat >"$1/conf" <<CONF
master_process off;
daemon off;
pid $1/pid;
error_log $1/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000;
  server {
    listen 127.0.0.1:$2 backlog=1024;
    location / { return 200 "$(printf 'x%.0s' {1..1024})"; }
  }
}
CONF
exec "$(command -v nginx || echo /usr/sbin/nginx)" -c "$1/conf" -e "$1/error.log"
