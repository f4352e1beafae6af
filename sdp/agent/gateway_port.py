"""The port to running gateways: what changing config.php asks of the web server that reads it."""

from typing import Protocol


class Gateway(Protocol):
    """A sandbox's running gateway. Raises EngineDown or EngineError like the engine behind it."""

    async def lint(self, source: bytes) -> str | None:
        """Return what the gateway's own PHP has against a file, or None."""
        ...

    async def graceful(self) -> str | None:
        """Have the configuration read anew, breaking no request; return an objection, or None."""
        ...

    async def generation(self) -> int | None:
        """Return a number that rises with each reload that took effect; None: it can't be told."""
        ...

    async def environment(self) -> str:
        """Return the CodeIgniter environment that requests really run in; "": it can't be told."""
        ...

    async def answer(self) -> int:
        """Return the HTTP status that a health probe gets; 0: none."""
        ...


class Gateways(Protocol):
    """Finds them."""

    async def running(self, sandbox: str, commit: str) -> Gateway | None:
        """Return what serves a copy, None while nothing does."""
        ...
