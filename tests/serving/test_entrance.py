"""Which requests come from this machine, and which from a page of another site."""

from __future__ import annotations

import pytest

from evolm.errors import RequestError
from evolm.serving.entrance import check_source, is_loopback


@pytest.mark.parametrize("host", ["localhost", "api.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_names_and_addresses_of_the_loopback_are_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "0.0.0.0", "192.168.1.2", "127.0.0.1.", ""]
)
def test_other_names_and_addresses_are_none_of_the_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", [None, "", "evil.example:80", "[::1", "a b", "//localhost", "evil@10.0.0.1"])
def test_a_server_on_the_loopback_refuses_other_hosts(host: str | None) -> None:
    with pytest.raises(RequestError, match="Host: expected a name of this machine's loopback") as caught:
        check_source(host, None, loopback=True)
    assert caught.value.status == 421


def test_a_server_on_the_network_takes_any_host_and_its_own_pages_only() -> None:
    check_source("models.example:8000", None, loopback=False)
    check_source("models.example:8000", "http://models.example:8000", loopback=False)
    for host, origin in (
        ("models.example:8000", "http://evil.example"),
        ("models.example:8000", "http://models.example"),
        (None, "http://models.example"),
        ("models.example", "http://[::1"),
    ):
        with pytest.raises(RequestError, match="Origin: expected no page"):
            check_source(host, origin, loopback=False)
