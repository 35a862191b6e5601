"""Configuration and Kubernetes manifests for ringway: many routes, many endpoints."""

import os

HEAD = "apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n"
SLICE = 100  # endpoints in one EndpointSlice, as the controller of Kubernetes makes them


def address(index, generation=0):
    """Endpoint `index`: a loopback address of its own, another one in each generation."""
    block, low = divmod(index, 250)
    return f"127.{1 + generation % 2}.{block}.{low + 1}"


def config(listen, admin, directory, workers=1):
    """A ringway.yaml with defaults everywhere: one gateway, all the rest from manifests."""
    return (f"workers: {{count: {workers}}}\nadmin: {{address: '127.0.0.1:{admin}'}}\n"
            f"listeners:\n  - {{name: web, address: '127.0.0.1:{listen}', kind: gateway}}\n"
            f"discovery: {{manifests: {directory}}}\n")


# What a listener, and a service, say beside the defaults.
LISTENER = {"opaque": ", protocol: opaque", "mesh-far": ", peers: 127.0.0.0/8"}
SERVICE = {"grpc": ", protocol: h2c", "mesh-near": ", meshed: true"}


def service_config(listen, admin, port, kind, workers=1):
    """A ringway.yaml with one service and defaults but for `kind`: HTTP/2 to its endpoint (grpc),
    TCP (opaque), or one end of the path from a ringway to another (mesh-near, mesh-far)."""
    listener, service_ = LISTENER.get(kind, ""), SERVICE.get(kind, "")
    return (f"workers: {{count: {workers}}}\nadmin: {{address: '127.0.0.1:{admin}'}}\n"
            f"listeners:\n  - {{name: web, address: '127.0.0.1:{listen}', kind: gateway, "
            f"service: app{listener}}}\n"
            f"services:\n  app: {{endpoints: ['127.0.0.1:{port}']{service_}}}\n")


def service(name="app"):
    return HEAD.format(version="v1", kind="Service", name=name) + (
        f"spec:\n  selector: {{app: {name}}}\n"
        "  ports:\n  - {name: http, port: 80, targetPort: 8080}\n")


def endpoint_slice(number, addresses, port, name="app"):
    lines = "".join(f"- {{addresses: [{ip}], conditions: {{ready: true}}}}\n" for ip in addresses)
    return HEAD.format(version="discovery.k8s.io/v1", kind="EndpointSlice",
                       name=f"{name}-{number}") + (
        f"  labels: {{kubernetes.io/service-name: {name}}}\naddressType: IPv4\n"
        f"ports:\n- {{name: http, port: {port}}}\nendpoints:\n{lines}")


def route(name, prefix):
    return HEAD.format(version="gateway.networking.k8s.io/v1", kind="HTTPRoute", name=name) + (
        "spec:\n  parentRefs:\n"
        "  - {group: gateway.networking.k8s.io, kind: Gateway, name: web}\n  rules:\n"
        f"  - matches:\n    - path: {{type: PathPrefix, value: {prefix}}}\n"
        "    backendRefs: [{name: app, port: 80}]\n")


def put(path, text):
    """Writes the file whole or not at all: the watched directory never shows half of one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    os.replace(fresh, path)


def write_routes(directory, count, port):
    """`count` routes to one endpoint. The load takes the least specific, which is asked last."""
    put(directory / "app.yaml",
        service() + "---\n" + endpoint_slice(0, ["127.0.0.1"], port))
    rules = [route("everything", "/")]
    rules += [route(f"path-{n}", f"/area-{n % 100}/path-{n}") for n in range(1, count)]
    for n in range(0, len(rules), 500):
        put(directory / f"routes-{n // 500:03}.yaml", "---\n".join(rules[n:n + 500]))


def slice_text(number, port, moved=()):
    """EndpointSlice `number`; the endpoints in `moved` have their other address."""
    first = number * SLICE
    addresses = [address(i, 1 if i in moved else 0) for i in range(first, first + SLICE)]
    return endpoint_slice(number, addresses, port)


def slice_path(directory, number):
    return directory / f"slice-{number:04}.yaml"


def write_endpoints(directory, count, port):
    """`count` endpoints of one service in slices of 100, each slice in a file of its own."""
    put(directory / "app.yaml", service() + "---\n" + route("everything", "/"))
    for number in range(count // SLICE):
        put(slice_path(directory, number), slice_text(number, port))
