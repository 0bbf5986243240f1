"""Arithmetic of sliding windows as ONNX defines it, one axis at a time."""

__all__ = ["arithmetic", "left_out", "output_size", "same_pads", "span"]


def span(kernel, dilation):
    """Positions from the first to the last tap of a window."""
    return (kernel - 1) * dilation + 1


def output_size(size, kernel, stride, dilation, begin, end, ceil_mode=False):
    """Number of windows on ``size`` positions padded by ``begin`` and ``end``; 0 if none fits.

    In ceil mode a last window may reach beyond the padding, but one that would start in the padding
    at the end is ignored: ONNX says so from operator set 22 on, and before it PyTorch and ONNX
    Runtime do so too.
    """
    room = size + begin + end - span(kernel, dilation)
    if room < 0:
        return 0
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + begin else count


def left_out(size, kernel, stride, dilation, begin, end):
    """Positions, of those padded, behind the last window; at least one window fits."""
    return (size + begin + end - span(kernel, dilation)) % stride


def arithmetic(size, kernel, stride, dilation, begin, end):
    """The number of windows before it is rounded down, written out: ``(7 - 3) / 3 + 1 = 2.33``."""
    padding = f" + {begin + end}" if begin + end else ""
    extent = span(kernel, dilation)
    count = (size + begin + end - extent) / stride + 1
    return f"({size}{padding} - {extent}) / {stride} + 1 = {count:.2f}"


def same_pads(size, kernel, stride, dilation, upper):
    """(begin, end) with which ``ceil(size / stride)`` windows fit exactly.

    An odd position goes to the end if ``upper``. The sum is negative where windows narrower than
    the stride leave positions out.
    """
    total = (-(-size // stride) - 1) * stride + span(kernel, dilation) - size
    half = total // 2
    return (half, total - half) if upper else (total - half, half)
