"""Calls again what met a shard that is retired, of which this copy had not heard: it wrote nothing
there, and read nothing."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from service.errors import WrongTypeError
from service.store.keys import Keys
from service.store.resharding.layouts import Layouts
from service.store.tags import site_of

_P = ParamSpec("_P")
_R = TypeVar("_R")


class UpToDate:
    """Makes methods that know the layouts of sites, or learn of them and are called once more."""

    def __init__(self, keys: Keys, layouts: Layouts) -> None:
        self._keys = keys
        self._layouts = layouts

    def __call__(
        self, method: Callable[Concatenate[str, _P], Coroutine[Any, Any, _R]]
    ) -> Callable[Concatenate[str, _P], Coroutine[Any, Any, _R]]:
        """The same method of a site, or of the tag of a shard, up to date. One that calls others
        goes in as a whole, for it has chosen its shards already: its parts stay as they are."""

        @wraps(method)
        async def called(tag: str, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
            version = self._keys.version
            try:
                return await method(tag, *args, **kwargs)
            except WrongTypeError:
                if not await self.has_learned_since(version):
                    raise
            try:
                return await method(tag, *args, **kwargs)
            except WrongTypeError:
                if site_of(tag) in self._layouts.unfinished:
                    raise self._layouts.still_unfinished(site_of(tag)) from None
                raise

        return called

    async def has_learned_since(self, version: int) -> bool:
        """Asks for the layouts; whether the keys are others now than in this version, or some
        may not be what they are called, since a change is half done. Raises StoreError."""
        await self._layouts.learn()
        return self._keys.version != version or bool(self._layouts.unfinished)
