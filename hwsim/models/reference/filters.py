"""Image filters in float: what their fixed point form is measured against."""

import numpy as np

__all__ = ["kernel_sums"]


def kernel_sums(image_filter, maps):
    """A kernel's sums before they are rounded down, scaled, without the offset.

    Those of the fixed point form differ by at most ``image_filter.fixed.error_bound``, and by the
    rounding errors of the float sums.

    Parameters
    ----------
    image_filter : hwsim.network.filters.ImageFilter
        With a kernel; its other steps are left out.
    maps : ndarray of number, (N, C, H, W)

    Returns
    -------
    ndarray of float64, (N, C, H, W)
    """
    top, left, bottom, right = image_filter.pads
    widths = ((0, 0), (0, 0), (top, bottom), (left, right))
    maps = np.asarray(maps, np.float64)
    edge = image_filter.border == "edge"
    padded = np.pad(maps, widths, mode="edge" if edge else "constant")
    kernel = image_filter.coefficients * image_filter.applied_scale
    stride = image_filter.stride
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, axis=(2, 3))
    return np.einsum("nchwij,ij->nchw", windows[:, :, ::stride, ::stride], kernel)
