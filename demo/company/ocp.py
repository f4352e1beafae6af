"""A stand-in for the company's OCP: every path below `/<service>/` answers as that service."""

import argparse
import contextlib
import dataclasses
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator

from typing_extensions import override


class _Ocp(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if url.path == "/healthz":
            self._answer(200, {"status": "ok"})
            return
        service, _, rest = url.path.removeprefix("/").partition("/")
        if not service:
            self._answer(404, {"error": "no service named"})
            return
        whole = {"service": service, "branch": "ocp", "from": "ocp", "path": f"/{rest}"}
        asked = {"method": self.command, "query": url.query, "body": body.decode(errors="replace")}
        self._answer(200, whole | asked)

    # the base class looks up do_<METHOD>
    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET  # noqa: N815

    def _answer(self, status: int, content: dict[str, str]) -> None:
        body = f"{json.dumps(content)}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: the demo's screen is the product's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ocp:
    """A running stand-in."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextlib.contextmanager
def ocp(host: str, port: int = 0) -> Iterator[Ocp]:
    """Run the stand-in in this process; port 0 takes a free one."""
    with http.server.ThreadingHTTPServer((host, port), _Ocp) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="ocp")
        thread.start()
        try:
            yield Ocp(host, server.server_port)
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m demo.company.ocp", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    with http.server.ThreadingHTTPServer((given.host, given.port), _Ocp) as server:
        print(f"OCP stand-in at http://{given.host}:{server.server_port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
