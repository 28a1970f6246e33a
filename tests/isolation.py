"""What belongs to the whole process: no test may leave it other than it was."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import structlog

# pytest itself tells here which test and which phase of it runs.
NOT_OURS = "PYTEST_CURRENT_TEST"
_ABSENT = object()
_SIGNALS = signal.valid_signals() - {signal.SIGALRM}


class ProcessState:
    """Logging, environment, working directory, signal handlers and the globals of the service's
    modules, as they were when it was made."""

    def __init__(self) -> None:
        self._before = _state()

    def restore(self) -> list[str]:
        """Puts back whatever is different now, and names it."""
        changed = []
        now = _state()
        for part, before in self._before.items():
            after = now.get(part, {})
            if before == after:  # in C: there are thousands of values, and tests
                continue
            for name in sorted(before.keys() | after.keys(), key=str):
                old, new = before.get(name, _ABSENT), after.get(name, _ABSENT)
                if old is not new and old != new and _put_back(part, name, old):
                    changed.append(f"{part[0]}: {name if len(part) == 1 else (part[1], name)}")
        return sorted(changed)


def _state() -> dict[tuple[str, ...], dict[Any, Any]]:
    """What is there by kind, and by module where each has its own."""
    logs = structlog.get_config()
    modules = _modules()
    return {
        # A copy, for capture_logs changes the list itself.
        ("structlog",): logs | {"processors": list(logs["processors"])},
        ("cached logger",): {name: True for name, _ in _cached_loggers(modules)},
        ("logging",): {logger.name: _settings_of(logger) for logger in _loggers()},
        ("environment",): {name: value for name, value in os.environ.items() if name != NOT_OURS},
        ("working directory",): {"": os.getcwd()},
        # pytest-timeout takes SIGALRM back as soon as a test fails.
        ("signal handler",): {number: signal.getsignal(number) for number in _SIGNALS},
        **{("global", module.__name__): vars(module).copy() for module in modules},
    }


def _modules() -> list[Any]:
    names = _names_of_modules(len(sys.modules))
    return [sys.modules[name] for name in names if name in sys.modules]


@lru_cache(1)
def _names_of_modules(number: int) -> list[str]:
    """Of all that are imported, however many there are: they are looked at twice a test."""
    return [name for name in list(sys.modules) if name.partition(".")[0] == "service"]


def _cached_loggers(modules: list[Any]) -> Iterator[tuple[str, Any]]:
    """With `cache_logger_on_first_use`, a module's logger keeps the configuration it first logged
    with, whatever structlog is told later."""
    for module in modules:
        log = vars(module).get("log")
        if "bind" in getattr(log, "__dict__", ()):
            yield module.__name__, log


def _loggers() -> list[logging.Logger]:
    known = list(logging.root.manager.loggerDict.values())
    return [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]


def _settings_of(logger: logging.Logger) -> tuple[Any, ...]:
    return logger.level, tuple(logger.handlers), logger.propagate, logger.disabled


def _put_back(part: tuple[str, ...], name: Any, old: Any) -> bool:
    """False where the difference is not a change: what has just been imported."""
    match part[0]:
        case "structlog":
            structlog.configure(**{name: old})
        case "cached logger":
            for module, log in _cached_loggers(_modules()):
                if module == name:
                    del log.bind
        case "logging":
            if old is _ABSENT:  # a library that came with a test sets up its own
                return False
            logger = logging.getLogger(name) if name != "root" else logging.root
            logger.level, logger.handlers, logger.propagate, logger.disabled = (
                old[0], list(old[1]), old[2], old[3],
            )  # fmt: skip
            logging.root.manager._clear_cache()  # type: ignore[attr-defined]
        case "environment":
            if old is _ABSENT:
                del os.environ[name]
            else:
                os.environ[name] = old
        case "working directory":
            os.chdir(old)
        case "signal handler":
            signal.signal(name, old)
        case _:
            if old is _ABSENT:
                return False
            setattr(sys.modules[part[1]], name, old)
    return True
