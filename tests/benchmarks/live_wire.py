"""A way with a delay, on which TCP itself takes its time: a network device of our own that gives packets back later.

Whatever is sent to `FAR` comes back, so much later, from `FAR` to `NEAR`: so a connection to FAR ends at a server that
listens on NEAR, and what it acknowledges is late as well. Linux, root only (TUN, networking/tuntap).
"""

import asyncio
import fcntl
import os
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

NEAR: Final = "198.18.0.1"
FAR: Final = "198.18.0.2"
"""Taken from the addresses that are reserved for benchmarks (RFC 2544)."""
_TUN: Final = Path("/dev/net/tun")
_NAME: Final = "appliance0"
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_REQUEST: Final = struct.Struct("16sH14x")
_ADDRESSES: Final = slice(12, 20)
"""Source and destination in an IPv4 packet; the checksums stay right when the two are swapped."""
_MAX_PACKET: Final = 1 << 16


def is_possible() -> bool:
    """Return whether this machine lets us make network devices."""
    return os.geteuid() == 0 and _TUN.exists() and shutil.which("ip") is not None


@asynccontextmanager
async def delaying(delay_s: float) -> AsyncIterator[None]:
    """Have everything to `FAR` delayed by so much; on the running loop."""
    loop = asyncio.get_running_loop()
    device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(device, _TUNSETIFF, _REQUEST.pack(_NAME.encode(), _IFF_TUN_NO_PI))
        for command in (f"address add {NEAR}/30 dev {_NAME}", f"link set up dev {_NAME}"):
            setting_up = await asyncio.create_subprocess_exec("ip", *command.split())
            if await setting_up.wait():
                raise RuntimeError(f"ip {command} failed")

        def take() -> None:
            packet = bytearray(os.read(device, _MAX_PACKET))
            near, far = packet[12:16], packet[16:20]
            packet[_ADDRESSES] = far + near
            loop.call_later(delay_s, give_back, packet)

        def give_back(packet: bytearray) -> None:
            with suppress(OSError):  # the device is gone
                os.write(device, packet)

        loop.add_reader(device, take)
        yield
        loop.remove_reader(device)
        await asyncio.sleep(2 * delay_s)  # for what is under way: the number of the device may be another file's soon
    finally:
        os.close(device)
