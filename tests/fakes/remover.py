"""A config repo that takes removals, or says why not."""

from typing_extensions import override

from sdp.reconciler.removal import Removal, Remover


class FakeRemover(Remover):
    """Remembers what it was asked for; ``refusal`` is its answer."""

    def __init__(self) -> None:
        self.asked: list[Removal] = []
        self.refusal = ""

    @override
    async def remove(self, removal: Removal) -> str:
        self.asked.append(removal)
        return self.refusal
