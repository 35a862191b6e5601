"""How each proxy is configured and started."""

import dataclasses

from . import manifests, programs
from .process import PERF, Process, free_port


def filled(template, directory, name, **values):
    """Writes rivals/<template> with its @NAMES@ filled in, and returns the file's path."""
    text = (PERF / "rivals" / template).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path = directory / f"{name}-{template}"
    path.write_text(text)
    return path


def upstreams(behind, port):
    """The addresses a list of servers has; the backend answers on every loopback address."""
    if behind == "endpoints-100":
        return [f"127.0.1.{n}:{port}" for n in range(1, 101)]
    return [f"127.0.0.1:{port}"]


def ringway(name, behind, backend, port, directory, setting):
    admin, binary = free_port(), setting.programs.ringway
    if behind in ("one", "h2", "endpoints-100"):
        command = [binary, "to", *upstreams(behind, backend), "--listen", f"127.0.0.1:{port}",
                   "--admin", f"127.0.0.1:{admin}", "--workers", setting.workers]
    else:
        command = [binary, "run", "--config", described(name, behind, backend, port, admin,
                                                        directory, setting)]
    driver = "epoll" if name.startswith("ringway-epoll") else "uring"
    return command, {"RINGWAY_DRIVER": driver, "RINGWAY_LOG": "warn"}, admin


def described(name, behind, backend, port, admin, directory, setting):
    """A configuration: with a service, or with manifests in a directory of the proxy's own."""
    path = directory / f"{name}.yaml"
    if behind in (*manifests.LISTENER, *manifests.SERVICE):
        path.write_text(manifests.service_config(port, admin, backend, behind, setting.workers))
        return path
    kind, _, count = behind.partition("-")
    files = directory / f"{name}-manifests"
    files.mkdir()
    write = {"routes": manifests.write_routes, "endpoints": manifests.write_endpoints}[kind]
    write(files, int(count), backend)
    path.write_text(manifests.config(port, admin, files, setting.workers))
    return path


def haproxy(name, behind, backend, port, directory, _):
    h2 = {True: "proto h2", False: ""}
    ours, theirs = h2[behind in ("h2", "grpc")], h2[behind == "grpc"]
    servers = [f"    server s{i} {a} {theirs}" for i, a in enumerate(upstreams(behind, backend))]
    template = "haproxy-tcp.cfg" if behind == "opaque" else "haproxy.cfg"
    path = filled(template, directory, name, LISTEN=port, PROTO=ours, SERVERS="\n".join(servers))
    return [programs.haproxy(), "-db", "-f", path], {}, None


def nginx(name, behind, backend, port, directory, _):
    servers = [f"        server {address};" for address in upstreams(behind, backend)]
    template = "nginx-tcp.conf" if behind == "opaque" else "nginx.conf"
    path = filled(template, directory, name, LISTEN=port, DIR=directory, NAME=name,
                  PROTO="http2" if behind in ("h2", "grpc") else "",
                  PASS="grpc_pass grpc://service" if behind == "grpc"
                  else "proxy_pass http://service", SERVERS="\n".join(servers))
    return [programs.nginx(), "-e", "stderr", "-c", path], {}, None


# What tells Envoy to speak HTTP/2 to a cluster.
ENVOY_H2 = """      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http2_protocol_options: {} }"""


def envoy(name, behind, backend, port, directory, _):
    indent, line = " " * 14, "- endpoint: { address: { socket_address: "
    addresses = (address.split(":") for address in upstreams(behind, backend))
    points = [f"{indent}{line}{{ address: {ip}, port_value: {at} }} }} }}" for ip, at in addresses]
    template = "envoy-tcp.yaml" if behind == "opaque" else "envoy.yaml"
    path = filled(template, directory, name, LISTEN=port, ENDPOINTS="\n".join(points),
                  CODEC="HTTP2" if behind in ("h2", "grpc") else "HTTP1",
                  UPSTREAM=ENVOY_H2 if behind == "grpc" else "")
    command = [programs.envoy(), "-c", path, "--concurrency", "1", "--disable-hot-restart"]
    return [*command, "--log-level", "error"], {}, None


def pingora(_, behind, backend, port, __, setting):
    address = upstreams(behind, backend)[0]
    return [setting.programs.pingora, f"127.0.0.1:{port}", address], {}, None


def forwarder(_, behind, backend, port, __, setting):
    address = upstreams(behind, backend)[0]
    return [setting.programs.forwarder, f"127.0.0.1:{port}", address], {}, None


COMMANDS = {"ringway": ringway, "ringway-epoll": ringway, "haproxy": haproxy, "nginx": nginx,
            "envoy": envoy, "pingora": pingora, "forwarder": forwarder}


def start(contender, backend, directory, setting):
    """Starts the contender's proxy on the proxy's core, in front of the port `backend`."""
    if contender.behind in MESH:
        return meshed(contender, backend, directory, setting)
    return one(contender, backend, directory, setting)


MESH = ("mesh-near", "mesh-far")


def meshed(contender, backend, directory, setting):
    """Two ringways in a row, both on the proxy's core: the one that `contender` names is measured,
    and asked at the port of the near one; it ends the other with itself."""
    parts, place = {}, directory / f"pair-{contender.behind}"
    place.mkdir()
    for behind in reversed(MESH):
        end = dataclasses.replace(contender, behind=behind)
        parts[behind] = one(end, backend, place, setting)
        backend = parts[behind].port
    measured = parts.pop(contender.behind)
    measured.port = backend
    measured.beside = list(parts.values())
    return measured


def one(contender, backend, directory, setting):
    port = free_port()
    # A name for files that is the proxy's and, among contenders of one proxy, unlike the others'.
    name = f"{contender.proxy}-{contender.behind}" + ("" if contender.watched else "-still")
    command, env, admin = COMMANDS[contender.proxy](name, contender.behind, backend, port,
                                                    directory, setting)
    process = Process(name, command, setting.proxy_cores, port, directory, env)
    process.admin = admin
    return process


def backend(directory, setting):
    """The service behind every proxy, on the core of the load, on all loopback addresses."""
    port = free_port()
    command = [setting.programs.backend, "--listen", f"0.0.0.0:{port}"]
    return Process("backend", command, setting.load_core, port, directory)
