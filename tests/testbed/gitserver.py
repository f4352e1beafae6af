"""A Git server that asks for a password: Debian's Apache and `git http-backend` on loopback.

Its configuration, log and passwords are in a folder of its own; no system file is touched. Below
`/hang/` it never answers, below `/500/` it fails, and stopped it is gone.
"""

import contextlib
import dataclasses
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.testbed import packages
from tests.testbed.process import TestbedError, remembered, run, start, until

MODULES: Final = (
    "mpm_prefork", "authz_core", "authz_user", "authn_core", "authn_file", "auth_basic",
    "alias", "env", "cgi",
)  # fmt: skip
CONFIG: Final = """\
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/error.log
CustomLog {folder}/access.log "%u %r %>s"
StartServers 2
{modules}

SetEnv GIT_PROJECT_ROOT {repositories}
SetEnv GIT_HTTP_EXPORT_ALL 1
# the repositories may be another user's
SetEnv GIT_CONFIG_COUNT 1
SetEnv GIT_CONFIG_KEY_0 safe.directory
SetEnv GIT_CONFIG_VALUE_0 *
SetEnv GIT_CONFIG_GLOBAL /dev/null
SetEnv GIT_CONFIG_NOSYSTEM 1

Redirect 500 /500/
ScriptAlias /hang/ {folder}/hang/
ScriptAlias / {backend}/

<Location />
    AuthType Basic
    AuthName "Bitbucket"
    AuthUserFile {folder}/htpasswd
    Require valid-user
</Location>
<LocationMatch "^/(hang|500)/">
    Require all granted
</LocationMatch>
"""
HANG: Final = "#!/bin/sh\nexec sleep 600\n"
# Apache refuses to serve as root, and another user may not enter root's folders: that user gets
# this one capability, and the bit without which access(2) overlooks it
AS_ANOTHER: Final = (
    "setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups",
    "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class GitServer:
    """A Git server that can disappear and come back at the same address."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """Where the repositories are, each as `<url>/<name>.git`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def hanging(self) -> str:
        """The same, but nothing is ever answered."""
        return f"{self.url}/hang"

    @property
    def failing(self) -> str:
        """The same, but each answer is 500."""
        return f"{self.url}/500"

    @property
    def access_log(self) -> str:
        """What was asked so far: lines of user, request line and status."""
        return (self.folder / "access.log").read_text()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        argv = ["apache2", "-f", str(self.folder / "httpd.conf"), "-D", "FOREGROUND"]
        if os.geteuid() == 0:
            argv = [*AS_ANOTHER, *argv]
        daemon = start(argv, self.folder / "log", self.folder / "started")

        def ready() -> bool:
            if not daemon.alive():
                raise TestbedError(f"apache2 ended: {(self.folder / 'log').read_text()[-2000:]}")
            return _listens(self.port)

        until(ready, seconds=10, what=f"a Git server at {self.url}")

    def stop(self) -> None:
        """Let it disappear: connections are refused."""
        if daemon := remembered(self.folder / "started"):
            daemon.stop(patience=5)


@contextlib.contextmanager
def git_server(repositories: Path, users: Mapping[str, str], folder: Path) -> Iterator[GitServer]:
    """Serve a folder of bare repositories over HTTP, to read and to push.

    Args:
        repositories: the folder of `<name>.git`.
        users: user name → password.
        folder: an empty folder for the server's own files.

    Raises:
        TestbedError: Apache is missing or does not start; the message says which.
    """
    packages.ensure(packages.GIT_SERVER)
    server = GitServer(folder, _free_port())
    configure(server, repositories, users)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def configure(server: GitServer, repositories: Path, users: Mapping[str, str]) -> None:
    """Write what a Git server starts with; see `git_server`."""
    folder = server.folder
    folder.mkdir(parents=True, exist_ok=True)
    modules = [
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES
    ]
    text = CONFIG.format(
        port=server.port,
        folder=folder,
        repositories=repositories,
        backend=Path(run(["git", "--exec-path"]).strip()) / "git-http-backend",
        modules="\n".join(modules),
    )
    (folder / "httpd.conf").write_text(text)
    set_passwords(server, users)
    hang = folder / "hang"
    for repository in repositories.glob("*.git"):
        script = hang / repository.name
        script.parent.mkdir(exist_ok=True)
        script.write_text(HANG)
        script.chmod(0o755)


def set_passwords(server: GitServer, users: Mapping[str, str]) -> None:
    """Let users have these passwords from now on; they count at once."""
    passwords = server.folder / "htpasswd"
    passwords.touch()
    for user, password in users.items():
        run(["htpasswd", "-iB", passwords, user], stdin=password.encode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
