"""Where the page may be served; asked before it is, because a server that cannot listen says so late and at length."""

import ipaddress
import os
import socket

from utils.planning.errors import UserError


def check_address(host: str, port: int | None) -> None:
    """UserError if nothing can listen at `host`, an address or a name of this machine, or there at `port`; None stands for any."""
    if port is not None and not 1 <= port <= 65535:
        raise UserError(f"--port must be from 1 to 65535, not {port}.")
    try:
        found = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):  # the latter for names that cannot even be asked for
        raise UserError(f"--host {host!r} is no address and no known name; use 127.0.0.1 (this machine only) or 0.0.0.0 (every network).") from None
    try:
        for family, *_, address in found:
            socket.create_server(address, family=family).close()
    except OSError as error:
        where = f"{host}, port {port}" if port else host
        reason = os.strerror(error.errno or 0).lower()  # error.strerror repeats the address
        raise UserError(f"The page cannot be served at {where} ({reason}); name a free one with --port, or another --host.") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens at `host`, an address or a name that `check_address` has let pass."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return all(ipaddress.ip_address(str(address[0])).is_loopback for *_, address in found)


def check_exposure(host: str, *, share: bool, has_logins: bool, insecure: bool) -> None:
    """UserError if others than those at this machine could use the page without a login, and nobody has said that they may."""
    if has_logins or insecure or (is_loopback(host) and not share):
        return
    option, who = ("--share", "everybody on the internet") if share else (f"--host {host}", "everybody who can reach this machine")
    raise UserError(f"{option} would let {who} use the page; ask for a login with --auth user:password, or allow it with --insecure.")


def is_own_name(name: str) -> bool:
    """Whether every machine calls itself so, whatever its network says: `localhost`, what is below it, and addresses of the loopback."""
    plain = name.lower().rstrip(".")
    try:
        return ipaddress.ip_address(plain).is_loopback
    except ValueError:
        return plain == "localhost" or plain.endswith(".localhost")
