"""Makes the company's repositories out of the sources beside this file.

`origins/` holds what Bitbucket would have, `clones/` what is configured on the VM. The OCP
addresses in the gateway's config.php are filled in at commit time.
"""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from demo.company.git import Commit, commit, git, init_bare

SOURCES: Final = Path(__file__).parent
GATEWAY: Final = "api-gateway"
SERVICES: Final = ("account", "payment", "user")
REPOSITORIES: Final = (*SERVICES, GATEWAY)

FEATURES: Final = {
    "account": ("feature/login-error", "feature/limits"),
    "payment": ("feature/refund",),
    "user": ("feature/profile",),
}
BROKEN: Final = {  # branches of account → the sources that break it
    "broken/compile": "compile",
    "broken/unhealthy": "unhealthy",
    "broken/crash": "crash",
}
COMPOSER: Final = b'{\n    "name": "company/api-gateway",\n    "require": {}\n}\n'


@dataclasses.dataclass(frozen=True, slots=True)
class Company:
    """The company's repositories below `root`."""

    root: Path

    @property
    def origins(self) -> Path:
        """The folder that a Git server would serve."""
        return self.root / "origins"

    def origin(self, repository: str) -> Path:
        return self.origins / f"{repository}.git"

    def clone(self, repository: str) -> Path:
        return self.root / "clones" / repository

    def tip(self, repository: str, branch: str) -> str:
        """Return the SHA at the tip of an origin's branch."""
        return git(self.origin(repository), "rev-parse", "--verify", f"refs/heads/{branch}")

    def push_branch(
        self, repository: str, branch: str, files: Mapping[str, str | bytes], message: str
    ) -> str:
        """Commit files to a branch of an origin, as a colleague's push would.

        A branch that is new starts at develop.

        Args:
            repository: one of REPOSITORIES.
            branch: its name, without refs/heads/.
            files: path in the repository → its new content.
            message: the commit's subject.

        Returns:
            The new commit's SHA.
        """
        origin = self.origin(repository)
        new = not git(origin, "for-each-ref", f"refs/heads/{branch}")
        content = {path: _bytes(text) for path, text in files.items()}
        commit(origin, [Commit(branch, message, content, "develop" if new else None)])
        return self.tip(repository, branch)

    def set_origins(self, address: str) -> None:
        """Let the clones fetch from `<address>/<repository>.git`, such as a Git server's."""
        for repository in REPOSITORIES:
            url = f"{address.rstrip('/')}/{repository}.git"
            git(self.clone(repository), "remote", "set-url", "origin", url)


def build_company(root: Path, ocp_url: str) -> Company:
    """Make the repositories of the company, or return those that are there.

    Args:
        root: the company's folder; it is made where it is absent.
        ocp_url: the OCP stand-in's address as containers see it, without a slash at the end.

    Raises:
        FileExistsError: there is half a company, of a run that was broken off.
        GitError: git failed; the message has its words.
    """
    company = Company(root)
    if company.clone(REPOSITORIES[-1]).exists():
        return company
    for repository in REPOSITORIES:
        init_bare(company.origin(repository))
        commits = _gateway(ocp_url) if repository == GATEWAY else _service(repository)
        commit(company.origin(repository), commits)
        company.clone(repository).parent.mkdir(exist_ok=True)
        git(root, "clone", "--quiet", "--", company.origin(repository), company.clone(repository))
    return company


def identity(service: str, branch: str) -> bytes:
    """Return the identity.go that makes a service answer with this branch's name."""
    return _filled("service/identity.go", service=service, branch=branch)


def _service(service: str) -> list[Commit]:
    files = {
        path.name: _filled(f"service/{path.name}", service=service, branch="develop")
        for path in (SOURCES / "service").iterdir()
    }
    commits = [Commit("develop", f"Answer as {service}", files)]
    for branch in FEATURES[service]:
        changed = {"identity.go": identity(service, branch)}
        commits.append(Commit(branch, f"Begin {branch}", changed, "develop"))
    if service == "account":
        commits += [_broken(branch, folder) for branch, folder in BROKEN.items()]
    return commits


def _broken(branch: str, folder: str) -> Commit:
    sources = SOURCES / "branches" / folder
    changed = {path.name: path.read_bytes() for path in sources.iterdir()}
    changed["identity.go"] = identity("account", branch)
    return Commit(branch, f"Begin {branch}", changed, "develop")


def _gateway(ocp_url: str) -> list[Commit]:
    sources = SOURCES / "gateway"
    paths = [path.relative_to(SOURCES).as_posix() for path in sources.rglob("*") if path.is_file()]
    files = {
        path.removeprefix("gateway/"): _filled(path, branch="develop", ocp=ocp_url)
        for path in paths
    }
    renamed = {
        "application/branch.php": _filled(
            "gateway/application/branch.php", branch="feature/new-home"
        )
    }
    return [
        Commit("develop", "Route the app's calls to the services", files),
        Commit("feature/new-home", "Begin feature/new-home", renamed, "develop"),
        Commit("with-composer", "Name the package", {"composer.json": COMPOSER}, "develop"),
    ]


def _filled(path: str, **values: str) -> bytes:
    """Return a source file, bytes kept, with {{name}} replaced."""
    content = (SOURCES / path).read_bytes()
    for name, value in values.items():
        content = content.replace(b"{{%s}}" % name.encode(), value.encode())
    return content


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def main() -> None:
    """Build the company where the command line says."""
    parser = argparse.ArgumentParser(prog="python -m demo.company.build", description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--ocp-url", required=True, help="as containers reach it")
    given = parser.parse_args()
    company = build_company(given.root, given.ocp_url.rstrip("/"))
    for repository in REPOSITORIES:
        tip = company.tip(repository, "develop")[:12]
        print(f"{company.clone(repository)}  develop @ {tip}")


if __name__ == "__main__":
    main()
