"""Interfaces of AXI4 (ARM IHI 0022, issues E and later).

Each channel is a stream: VALID, READY and a payload of the channel's other signals, less those that
do not matter to a memory (LOCK, CACHE, PROT, QOS, REGION, USER).
"""

from enum import IntEnum

from amaranth.hdl import unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BOUNDARY", "Axi4", "Axi4Lite", "Burst", "Response"]

# No burst crosses a multiple of so many bytes.
BOUNDARY = 4096


class Burst(IntEnum):
    """AxBURST."""

    FIXED = 0
    INCR = 1
    WRAP = 2


class Response(IntEnum):
    """BRESP and RRESP."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


class Axi4(wiring.Signature):
    """Signature of an AXI4 manager.

    Parameters
    ----------
    data_bits : int
        8 to 1024, a power of two.
    address_bits : int
    id_bits : int
        May be 0.

    Members
    -------
    aw, w, ar : out, stream
    b, r : in, stream
    """

    def __init__(self, *, data_bits, address_bits, id_bits=0):
        if data_bits not in (8, 16, 32, 64, 128, 256, 512, 1024):
            raise ValueError(f"data_bits must be a power of two from 8 to 1024, not {data_bits}")
        self.data_bits = data_bits
        self.address_bits = address_bits
        self.id_bits = id_bits
        request = {"id": id_bits, "addr": address_bits, "len": 8, "size": 3, "burst": 2}
        w = {"data": data_bits, "strb": data_bits // 8, "last": 1}
        r = {"id": id_bits, "data": data_bits, "resp": 2, "last": 1}
        super().__init__(
            {
                "aw": Out(_channel(request)),
                "w": Out(_channel(w)),
                "b": In(_channel({"id": id_bits, "resp": 2})),
                "ar": Out(_channel(request)),
                "r": In(_channel(r)),
            }
        )


class Axi4Lite(wiring.Signature):
    """Signature of an AXI4-Lite manager.

    Parameters
    ----------
    data_bits : int
        32 or 64.
    address_bits : int

    Members
    -------
    aw, w, ar : out, stream
    b, r : in, stream
    """

    def __init__(self, *, data_bits=32, address_bits):
        if data_bits not in (32, 64):
            raise ValueError(f"data_bits must be 32 or 64, not {data_bits}")
        self.data_bits = data_bits
        self.address_bits = address_bits
        super().__init__(
            {
                "aw": Out(_channel({"addr": address_bits, "prot": 3})),
                "w": Out(_channel({"data": data_bits, "strb": data_bits // 8})),
                "b": In(_channel({"resp": 2})),
                "ar": Out(_channel({"addr": address_bits, "prot": 3})),
                "r": In(_channel({"data": data_bits, "resp": 2})),
            }
        )


def _channel(fields):
    return stream.Signature(data.StructLayout({k: unsigned(v) for k, v in fields.items()}))
