"""Images come from the engine or from archives in a folder; they are never pulled."""

import json
import tarfile
from pathlib import Path

from sdp.agent.engine import Engine, EngineError
from sdp.protocol.frames import Failed

MANIFEST_BYTES = 4 << 20


def full_name(image: str) -> str:
    """Return an image's name with its tag."""
    return image if ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"


def tags(archive: Path) -> frozenset[str]:
    """Return the tags in a ``docker save`` archive; none where it can't be read as one."""
    try:
        with tarfile.open(archive) as opened:
            manifest = opened.extractfile("manifest.json")
            told = json.loads(manifest.read(MANIFEST_BYTES)) if manifest else []
            return frozenset(tag for image in told for tag in image.get("RepoTags") or ())
    except (OSError, KeyError, ValueError, AttributeError, tarfile.TarError):
        return frozenset()


def archive_of(image: str, folder: Path) -> Path | None:
    """Return the archive in a folder that holds an image."""
    wanted = full_name(image)
    return next((a for a in sorted(folder.glob("*.tar")) if wanted in tags(a)), None)


async def ensure(engine: Engine, image: str, folder: Path, node: str) -> Failed | None:
    """Make an image present; return why that can't be done."""
    if full_name(image) in await engine.images() or image.startswith("sha256:"):
        return None
    archive = archive_of(image, folder)
    if archive is None:
        name = image.replace("/", "_").replace(":", "_")
        return Failed(
            reason="ImageMissing",
            message=f"image {image} is not on node {node}",
            fix=f"bring it: docker save {image} -o {folder / name}.tar on a machine that has it "
            f"and copy that to {node}, then sdp sync; or docker load it there",
            terminal=True,
        )
    try:
        await engine.load(archive)
    except EngineError as error:
        return Failed(
            reason="ImageBroken",
            message=f"{archive} can't be loaded on node {node}: {error}",
            fix=f"save it again: docker save {image} -o {archive}",
            terminal=True,
        )
    return None
