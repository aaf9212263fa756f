"""How much memory tensors take while something runs: counted tensor by tensor, so the same on every machine.

What a kernel uses inside itself is not counted, nor what the allocator keeps back.
"""

import weakref

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """`with LiveMemory() as memory: ...`; then `memory.peak`: bytes of the tensors made inside that lived at once, at most."""

    def __init__(self):
        super().__init__()
        self.peak = self.now = 0
        self._seen: dict[int, int] = {}  # bytes by storage; 0 for those that were there before

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for given in tree_leaves((args, kwargs)):
            self._note(given, made_here=False)
        result = function(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            self._note(made, made_here=True)
        self.peak = max(self.peak, self.now)
        return result

    def _note(self, value, made_here: bool) -> None:
        if not hasattr(value, "untyped_storage"):
            return
        storage = value.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        self._seen[key] = storage.nbytes() if made_here else 0
        self.now += self._seen[key]
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._seen.pop(key)
