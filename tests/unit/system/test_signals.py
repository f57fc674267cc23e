"""Signals become stop requests, but for those that somebody ignores."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from engine.system.signals import URGENT, WARNINGS, stop_on_signals

KINDS = (*URGENT, *WARNINGS)


@pytest.fixture(params=KINDS, ids=[kind.name for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal whose handler is put back after the test."""
    before = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, before)


def test_first_signal_is_a_request(kind: signal.Signals) -> None:
    signal.signal(kind, signal.default_int_handler)
    requests: list[None] = []
    with stop_on_signals(lambda: requests.append(None)):
        signal.raise_signal(kind)
    assert len(requests) == 1
    assert signal.getsignal(kind) is signal.default_int_handler


def test_ignored_signal_stays_ignored(kind: signal.Signals) -> None:
    signal.signal(kind, signal.SIG_IGN)
    requests: list[None] = []
    with stop_on_signals(lambda: requests.append(None)):
        signal.raise_signal(kind)
    assert requests == []
    assert signal.getsignal(kind) is signal.SIG_IGN


def test_second_signal_ends_only_where_it_is_urgent(kind: signal.Signals) -> None:
    signal.signal(kind, signal.default_int_handler)
    requests: list[None] = []
    with stop_on_signals(lambda: requests.append(None)):
        signal.raise_signal(kind)
        if kind in WARNINGS:
            signal.raise_signal(kind)
        else:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(kind)
    assert len(requests) == 1 + (kind in WARNINGS)
