"""Cut the network of a Python process: connections leave for loopback addresses only.

Python imports this by itself from PYTHONPATH, so kernels and their children are cut too.
"""

import ipaddress
import socket
import sys


def _refuse(event: str, arguments: tuple) -> None:
    if event == "socket.connect":
        connection, address = arguments
        if connection.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise OSError(f"The network is cut in tests: no connection to {address[0]}.")
    elif event == "socket.getaddrinfo" and arguments[0] and not _is_loopback(arguments[0]):
        raise OSError(f"The network is cut in tests: no look-up of {arguments[0]}.")


def _is_loopback(host: str | bytes) -> bool:
    host = host.decode() if isinstance(host, bytes) else host
    try:
        return ipaddress.ip_address(host).is_loopback or host in ("0.0.0.0", "::")
    except ValueError:
        return host in ("localhost", socket.gethostname())


sys.addaudithook(_refuse)
