"""The two images of the tests, made from Debian packages because no registry is reached.

Their tarballs are kept in a cache folder under a hash of the recipe: a changed recipe makes a new
image, an unchanged one costs one question to the engine.
"""

import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path
from typing import Final

from tests.testbed import packages
from tests.testbed.engine import Engine
from tests.testbed.process import TestbedError, answers, locked, run

GATEWAY: Final = "sdp-testbed/gateway:1"
RUNTIME: Final = "sdp-testbed/runtime:1"
TAGS: Final = (RUNTIME, GATEWAY)

RECIPE_LABEL: Final = "sdp-testbed.recipe"
FILES: Final = Path(__file__).parent / "gateway"
SUITE: Final = "bookworm"
GATEWAY_PACKAGES: Final = "apache2,libapache2-mod-php,php-cli,php-curl,curl"
MMDEBSTRAP: Final = (
    "mmdebstrap",
    "--variant=minbase",
    "--format=tar",
    f"--include={GATEWAY_PACKAGES}",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    f"--customize-hook=copy-in {FILES}/apache.conf /etc/apache2/sites-available",
    f"--customize-hook=copy-in {FILES}/apache2-foreground /usr/local/bin",
    (
        '--customize-hook=mv "$1"/etc/apache2/sites-available/apache.conf '
        '"$1"/etc/apache2/sites-available/000-default.conf'
    ),
    '--customize-hook=chroot "$1" a2enmod -q rewrite status',
    '--customize-hook=mkdir -p "$1"/var/log/sdp "$1"/var/www/html/erangel-ocean',
)
CHANGES: Final = {
    GATEWAY: (
        'CMD ["apache2-foreground"]',
        "WORKDIR /var/www/html",
        "EXPOSE 80",
    ),
    RUNTIME: ('CMD ["/bin/sh"]', "WORKDIR /src"),
}
ENV_PATH: Final = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def cache_folder() -> Path:
    """Return the folder of the images' tarballs: SDP_TESTBED_CACHE, else one in the checkout."""
    named = os.environ.get("SDP_TESTBED_CACHE")
    return Path(named) if named else Path(__file__).parents[2] / ".cache" / "testbed"


def ensure_image(engine: Engine, tag: str) -> bool:
    """Make the image available on this engine, from the cache where possible.

    Returns:
        Whether there was something to do.

    Raises:
        TestbedError: it cannot be made here; the message says what is missing.
    """
    recipe = _recipe(tag)
    if _loaded(engine, tag) == recipe:
        return False
    with locked(cache_folder()):
        if _loaded(engine, tag) == recipe:  # another process made it while this one waited
            return False
        changes = [*CHANGES[tag], ENV_PATH, f"LABEL {RECIPE_LABEL}={recipe}"]
        words = [word for change in changes for word in ("--change", change)]
        engine.docker("import", *words, _root_tarball(tag, recipe), tag, timeout=300)
    return True


def save(tag: str, folder: Path, engine: Engine) -> Path:
    """Write `<folder>/<name>.tar` as `docker load` takes it, and return its path."""
    ensure_image(engine, tag)
    with locked(cache_folder()):
        kept = cache_folder() / f"{_name(tag)}-{_recipe(tag)}.docker.tar"
        if not kept.exists():
            partial = kept.with_suffix(".partial")
            engine.docker("save", "-o", partial, tag, timeout=300)
            partial.rename(kept)
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(kept, folder / f"{_name(tag)}.tar"))


def _name(tag: str) -> str:
    return tag.rpartition("/")[2].partition(":")[0]


def _loaded(engine: Engine, tag: str) -> str | None:
    """Return the recipe of the image on the engine, None where it is absent."""
    label = f'{{{{index .Config.Labels "{RECIPE_LABEL}"}}}}'
    try:
        return engine.docker("image", "inspect", "-f", label, tag).strip()
    except TestbedError:
        return None


def _recipe(tag: str) -> str:
    inputs = [tag, *CHANGES[tag], ENV_PATH]
    if tag == GATEWAY:
        words = [word.replace(str(FILES), "") for word in MMDEBSTRAP]
        inputs += [SUITE, *words, *(file.read_text() for file in sorted(FILES.iterdir()))]
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:12]


def _root_tarball(tag: str, recipe: str) -> Path:
    """Return the image's file system from the cache, making it where it is absent."""
    kept = cache_folder() / f"{_name(tag)}-{recipe}.root.tar"
    if not kept.exists():
        packages.ensure(packages.IMAGES)
        partial = kept.with_suffix(".partial")
        if tag == GATEWAY:
            _make_gateway(partial)
        else:
            _make_runtime(partial)
        partial.rename(kept)
    return kept


def _make_gateway(target: Path) -> None:
    if os.geteuid() != 0:
        raise TestbedError(f"{GATEWAY} is not in {cache_folder()}, and only root can make it")
    run([*MMDEBSTRAP, SUITE, target], timeout=900)


def _make_runtime(target: Path) -> None:
    """Write a root folder with a static busybox: enough for static Go programs."""
    busybox = Path(shutil.which("busybox") or "/bin/busybox")
    if answers(["ldd", busybox]):
        raise TestbedError(f"{busybox} is not static: busybox-static is missing")
    with tarfile.open(target, "w") as tar:
        for folder in ("bin", "etc", "src", "tmp"):
            tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755))
        _add(tar, "bin/busybox", busybox.read_bytes(), 0o755)
        _add(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:\n", 0o644)
        for applet in run([busybox, "--list"]).split():
            if applet != "busybox":
                link = _entry(f"bin/{applet}", tarfile.SYMTYPE, 0o777)
                link.linkname = "busybox"
                tar.addfile(link)


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = mode
    return entry


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = _entry(name, tarfile.REGTYPE, mode)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
