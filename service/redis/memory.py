"""`memory://`: fakeredis, which compiles each script once, as Redis does.

By itself it compiles the whole text for each call, which takes longer than to run it.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from fakeredis import FakeServer
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE

Function = Callable[[], Any]


@cache
def _bytecode(text: bytes) -> bytes:
    """A script as any runtime of this process loads it; LuaSyntaxError where it is not Lua."""
    runtime = LUA_MODULE.LuaRuntime(encoding=None)
    dumped: bytes = runtime.eval("string.dump")(runtime.compile(text))
    return dumped


class _Runtime:
    """The Lua of one server, with what it has compiled so far; all else is lupa's own."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._functions: dict[bytes, Function] = {}
        self._load: Callable[[bytes], Function] = runtime.eval("loadstring")
        self._is_running = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def execute(self, text: bytes | str) -> Any:
        """Runs a script: each time anew, for what one leaves behind is in globals, which Redis
        forbids and fakeredis checks."""
        encoded = text.encode() if isinstance(text, str) else text
        function = self._functions.get(encoded)
        if function is None:
            try:
                function = self._load(_bytecode(encoded))
            except LUA_MODULE.LuaSyntaxError:
                return self._runtime.execute(encoded)  # whose error says what is wrong
            self._functions[encoded] = function
        self._is_running = True
        try:
            return function()
        finally:
            self._is_running = False

    def globals(self) -> Any:
        """None while a script runs: fakeredis looks for new ones at each call of Redis, which takes
        as long as the call, and once more at the end."""
        return {} if self._is_running else self._runtime.globals()


class MemoryServer(FakeServer):
    """A FakeServer that keeps the scripts it has compiled."""

    @property
    def _lua_runtime(self) -> _Runtime:
        """Where fakeredis keeps its runtime; missing until it has made one."""
        try:
            runtime: _Runtime = self.__dict__["runtime"]
        except KeyError:
            raise AttributeError("_lua_runtime") from None
        return runtime

    @_lua_runtime.setter
    def _lua_runtime(self, runtime: Any) -> None:
        self.__dict__["runtime"] = _Runtime(runtime)
