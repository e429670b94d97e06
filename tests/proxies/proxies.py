"""nginx in three configurations, Caddy, HAProxy, and Go's ReverseProxy, each with few connections to the service: so
that callers share them, which is what an attack on framing needs."""

import getpass
import grp
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import eventually, listening

START_SECONDS = 120.0

_NGINX = """
user {user} {group}; daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_max_body_size 40m;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream service {{ server 127.0.0.1:{service}; keepalive 1; }}
  server {{ listen 127.0.0.1:{port}; location / {{ {lines} }} }}
}}
"""
_WEBSOCKET = (
    "proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
    "proxy_set_header Connection $connection_upgrade;"
)
_UNBUFFERED = (
    'proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; '
    "proxy_request_buffering off; proxy_buffering off;"
)
_CADDY = """
{{
  auto_https off
  admin off
  skip_install_trust
}}
http://127.0.0.1:{port} {{
  reverse_proxy 127.0.0.1:{service} {{
    transport http {{
      keepalive_idle_conns_per_host 1
    }}
  }}
}}
"""
_HAPROXY = """
defaults
  mode http
  timeout connect 10s
  timeout client 30s
  timeout server 60s
  timeout http-keep-alive 60s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  http-reuse always
  server service 127.0.0.1:{service} pool-max-conn 1
"""
_GO = """
package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

func main() {
	target, _ := url.Parse("http://127.0.0.1:" + os.Args[2])
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 60 * time.Second}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], proxy))
}
"""

Command = Callable[[Path, int, int], list[str]]


def _nginx(lines: str) -> Command:
    def command(folder: Path, port: int, service: int) -> list[str]:
        conf = folder / "nginx.conf"
        user, group = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
        text = _NGINX.format(
            user=user, group=group, folder=folder, port=port, service=service, lines=lines.format(service)
        )
        conf.write_text(text)
        return ["nginx", "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(conf)]

    return command


def _caddy(folder: Path, port: int, service: int) -> list[str]:
    conf = folder / "Caddyfile"
    conf.write_text(_CADDY.format(port=port, service=service))
    return ["caddy", "run", "--config", str(conf), "--adapter", "caddyfile"]


def _haproxy(folder: Path, port: int, service: int) -> list[str]:
    conf = folder / "haproxy.cfg"
    conf.write_text(_HAPROXY.format(port=port, service=service))
    return ["haproxy", "-db", "-f", str(conf)]


def _go(folder: Path, port: int, service: int) -> list[str]:
    source, program = folder / "main.go", folder / "proxy"
    source.write_text(_GO)
    environment = {**os.environ, "GO111MODULE": "off", "GOCACHE": str(folder / "cache"), "HOME": str(folder)}
    subprocess.run(["go", "build", "-o", str(program), str(source)], check=True, env=environment)
    return [str(program), str(port), str(service)]


# The first is nginx with nothing but `proxy_pass`.
PROXIES: dict[str, Command] = {
    "nginx": _nginx("proxy_pass http://127.0.0.1:{};"),
    "nginx, websocket lines": _nginx(_WEBSOCKET),
    "nginx, unbuffered": _nginx(_UNBUFFERED),
    "caddy": _caddy,
    "haproxy": _haproxy,
    "go": _go,
}
NEEDED = ("nginx", "caddy", "haproxy", "go", "java", "curl")  # scripts/setup-system installs them


def missing() -> list[str]:
    return [program for program in NEEDED if shutil.which(program) is None]


@contextmanager
def proxied(name: str, service: int, folder: Path) -> Iterator[int]:
    """Run a proxy in front of the service on port `service`; its own port. `direct` is none at all."""
    if name == "direct":
        yield service
        return
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = PROXIES[name](folder, port, service)
    environment = {
        **os.environ,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        eventually(
            lambda: process.poll() is not None or listening(f"http://127.0.0.1:{port}"),
            "it listens",
            START_SECONDS,
        )
        assert process.poll() is None, (folder / "log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait()
