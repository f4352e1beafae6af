"""`python -m tests.testbed up|down|images`: the testbed by hand, saying what it does."""

import sys
import time
from pathlib import Path

from tests.testbed import images, packages
from tests.testbed.engine import Engine, ensure_engine, stop_engine
from tests.testbed.process import TestbedError

USAGE = "usage: python -m tests.testbed up|down|images"


def main(words: list[str]) -> int:
    """Run one command; 0 done, 1 something is missing, 2 not a command."""
    try:
        match words:
            case ["up"]:
                packages.ensure({**packages.COMPANY, **packages.GIT_SERVER})
                _images(_up())
            case ["images"]:
                engine = _up()
                _images(engine)
                for tag in images.TAGS:
                    print(f"{tag}: {images.save(tag, images.cache_folder() / 'images', engine)}")
            case ["down"]:
                print(stop_engine(state_folder()))
            case _:
                print(USAGE, file=sys.stderr)
                return 2
    except TestbedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def state_folder() -> Path:
    """Return where the shared engine's log and pidfile are."""
    return images.cache_folder() / "engine"


def _up() -> Engine:
    began = time.monotonic()
    engine = ensure_engine(state_folder())
    print(f"engine {engine.host} answers ({time.monotonic() - began:.1f} s)")
    return engine


def _images(engine: Engine) -> None:
    for tag in images.TAGS:
        began = time.monotonic()
        done = "made" if images.ensure_image(engine, tag) else "present"
        print(f"{tag} {done} ({time.monotonic() - began:.1f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
