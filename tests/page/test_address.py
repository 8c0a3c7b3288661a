"""Addresses that the page can and cannot be served at."""

import socket

import pytest

from utils.page.address import check_address, check_exposure, is_loopback
from utils.planning.errors import UserError


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_this_machine_can_be_listened_at(host):
    check_address(host, None)


@pytest.mark.parametrize("port", [-1, 0, 65536, 70000])
def test_a_port_outside_the_range_is_refused(port):
    with pytest.raises(UserError, match=f"from 1 to 65535, not {port}"):
        check_address("127.0.0.1", port)


@pytest.mark.parametrize("host", ["", "nonsense.invalid", "256.1.1.1", "a" * 300, "\udce4"])
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(UserError, match="no address and no known name"):
        check_address(host, None)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(UserError, match=r"cannot be served at 192\.0\.2\.1 "):  # an address that documentation has for itself
        check_address("192.0.2.1", None)


def test_a_port_that_is_taken_is_refused_and_then_free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"cannot be served at 127\.0\.0\.1, port {port} "):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)  # looking takes nothing


@pytest.mark.parametrize(
    ("host", "alone"), [("127.0.0.1", True), ("127.8.9.10", True), ("localhost", True), ("0.0.0.0", False), ("192.0.2.1", False)]
)
def test_an_address_is_this_machines_alone_or_not(host, alone):
    assert is_loopback(host) is alone


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("share", [True, False])
def test_what_others_can_reach_needs_a_login_or_the_word_that_it_does_not(host, share):
    check_exposure(host, share=share, has_logins=True, insecure=False)
    check_exposure(host, share=share, has_logins=False, insecure=True)
    if host == "127.0.0.1" and not share:
        check_exposure(host, share=share, has_logins=False, insecure=False)
        return
    option = "--share" if share else "--host 0.0.0.0"
    with pytest.raises(UserError, match=f"^{option} would let everybody .*--auth user:password.*--insecure"):
        check_exposure(host, share=share, has_logins=False, insecure=False)
