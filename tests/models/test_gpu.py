"""The GPU's mechanisms, one by one."""

import pytest

from hwsim.models import devices
from hwsim.models.dataflow.mapping import map_workload
from hwsim.models.dataflow.workload import FLOAT_BYTES, Convolution, Gemm, Work, Workload
from hwsim.models.processors.gpu import GEMM_KERNELS, Kernel


def run(device, gemm, conv=None, precision="fp32", *, fused=True, bias=False):
    """One layer on a device: `LayerCost`."""
    width = FLOAT_BYTES[precision]
    weights = gemm.n * gemm.k * gemm.groups + (gemm.n * gemm.groups if bias else 0)
    work = Work(
        "layer",
        "Conv" if conv else "Gemm",
        gemm,
        conv,
        weight_bytes=weights * width,
        inputs=("x",),
        outputs=("y",),
        integer=precision == "int8",
    )
    if conv:
        source = conv.images * conv.channels * conv.size[0] * conv.size[1]
    else:
        source = gemm.m * gemm.k * gemm.groups
    sizes = {"x": source * width, "y": gemm.m * gemm.n * gemm.groups * width}
    load = Workload(1, precision, (work,), sizes, {"x", "y"}, fused)
    (layer,) = map_workload(load, devices.load(device)).layers
    return layer


def seconds(*arguments, **options):
    return run(*arguments, **options).job.time / 1e12


def convolution(images, channels, size, outputs, taps, stride=1, groups=1):
    """Shape and matrix product of a convolution with "same" padding."""
    out = (size - 1) // stride + 1
    conv = Convolution(
        images,
        channels,
        outputs,
        groups,
        (size, size),
        (out, out),
        (taps, taps),
        (stride, stride),
        (1, 1),
    )
    k = channels // groups * taps**2
    return Gemm(images * out**2, outputs // groups, k, groups), conv


def kernel_of(layer):
    return next(line for line in layer.lines if line.startswith("kernel"))


def test_the_micro_tile_gives_issue_slots_and_residents():
    # 64 Ki registers hold two blocks of 128 x 128.
    assert Kernel(128, 128).issue == 1
    assert [Kernel(*side).resident for side in ((128, 128), (128, 64), (64, 64))] == [2, 4, 8]
    assert Kernel(32, 32, 4).issue == 16 / 18
    assert all(kernel.rows % kernel.micro == 0 for kernel in GEMM_KERNELS)


def test_a_large_product_comes_near_the_peak_and_never_above():
    device = devices.load("gtx-1080-ti")
    peak = 28 * 128 * device["clock"]
    gemm = Gemm(7680, 8448, 4096)
    share = gemm.macs / peak / seconds("gtx-1080-ti", gemm)
    assert 0.85 < share < device["compute_efficiency"]


@pytest.mark.parametrize("device", ["gtx-1080-ti", "p100", "v100", "h100"])
@pytest.mark.parametrize("vary", ["m", "n", "k"])
def test_more_work_never_takes_less_time(device, vary):
    base = {"m": 512, "n": 512, "k": 512}
    times = [seconds(device, Gemm(**{**base, vary: size})) for size in (512, 1024, 4096, 16384)]
    assert times == sorted(times)
    assert times[-1] > 4 * times[0]


def test_tiles_are_quantized():
    # One row more is another row of tiles; 127 more cost nothing beyond their bytes.
    full = run("gtx-1080-ti", *convolution(1, 512, 16, 128, 1))
    assert full.work.gemm.m == 2 * 128
    more = run("gtx-1080-ti", Gemm(2 * 128 + 1, 128, 512), convolution(1, 512, 16, 128, 1)[1])
    most = run("gtx-1080-ti", Gemm(3 * 128, 128, 512), convolution(1, 512, 16, 128, 1)[1])
    assert full.job.compute == more.job.compute == most.job.compute  # all on idle multiprocessors
    assert "2 tiles" in kernel_of(full) and "3 tiles" in kernel_of(more)


def test_waves_are_quantized():
    shape = convolution(1, 512, 16, 128, 1)[1]

    def compute(tiles):
        return run("gtx-1080-ti", Gemm(128 * tiles, 128, 512), shape).job.compute

    # 28 multiprocessors: as long for 1 as for 28 tiles, and one more takes a second round.
    assert compute(1) == compute(28) < compute(29) == compute(56) < compute(57)


def test_k_is_split_where_multiprocessors_idle():
    narrow = kernel_of(run("gtx-1080-ti", Gemm(128, 128, 65536)))
    assert "x 1 parts" not in narrow
    assert "x 1 parts" in kernel_of(run("gtx-1080-ti", Gemm(8192, 8192, 1024)))


def test_skinny_products_are_bound_by_memory():
    layer = run("gtx-1080-ti", Gemm(32, 8448, 2816))
    assert layer.job.memory_time > layer.job.compute_time
    vector = run("v100", Gemm(1, 4096, 4096))
    assert "matrix times 1 vectors" in kernel_of(vector)
    assert vector.job.memory_time > vector.job.compute * vector.job.tiles


def test_old_libraries_pad_what_is_narrower_than_their_kernels():
    # Sixteen columns cost more than 32: measured so on all three GPUs of DeepBench.
    assert seconds("gtx-1080-ti", Gemm(16, 4096, 4096)) > seconds(
        "gtx-1080-ti", Gemm(32, 4096, 4096)
    )
    assert seconds("v100", Gemm(16, 4096, 4096)) <= seconds("v100", Gemm(32, 4096, 4096))


@pytest.mark.parametrize("device", ["gtx-1080-ti", "titan-x-maxwell", "p100", "v100"])
def test_winograd_beats_the_peak_of_direct_convolution(device):
    gemm, conv = convolution(16, 256, 56, 256, 3)
    layer = run(device, gemm, conv)
    assert "Winograd" in kernel_of(layer)
    assert layer.job.time / 1e12 < gemm.macs / layer.peak_macs_per_s
    # But by no more than the products that it saves.
    assert layer.job.time / 1e12 > gemm.macs / layer.peak_macs_per_s * 36 / 144


@pytest.mark.parametrize(
    "shape",
    [
        convolution(16, 256, 56, 256, 3, stride=2),
        convolution(16, 256, 56, 256, 1),
        convolution(16, 256, 56, 256, 5),
        convolution(16, 256, 56, 256, 3, groups=2),
    ],
)
def test_winograd_is_for_three_by_three_with_stride_one(shape):
    assert "Winograd" not in kernel_of(run("gtx-1080-ti", *shape))


def test_winograd_came_with_maxwell():
    assert "Winograd" not in kernel_of(run("k80", *convolution(16, 256, 56, 256, 3)))


def test_winograd_moves_its_transformed_operands():
    gemm, conv = convolution(16, 512, 28, 512, 3)
    layer = run("gtx-1080-ti", gemm, conv)
    least = layer.work.weight_bytes + 2 * 16 * 512 * 28 * 28 * 4
    assert "F(4x4, 3x3)" in kernel_of(layer)
    # 36 values for 16: inputs and results are written and read at 2.25 times their size.
    assert layer.memory_bytes > least + 2 * 2.25 * 2 * 16 * 512 * 28 * 28 * 4


@pytest.mark.parametrize("channels", [256, 264])
def test_tensor_cores_need_multiples_of_eight(channels):
    aligned = seconds("v100", *convolution(64, channels, 28, 256, 1), "fp16")
    for odd in (channels - 1, channels + 1, channels + 4):
        assert seconds("v100", *convolution(64, odd, 28, 256, 1), "fp16") > 1.5 * aligned
    assert seconds("v100", *convolution(64, 256, 28, channels + 1, 1), "fp16") > 1.5 * aligned


def test_int8_needs_multiples_of_four():
    aligned = seconds("gtx-1080-ti", *convolution(64, 256, 28, 256, 1), "int8")
    assert seconds("gtx-1080-ti", *convolution(64, 255, 28, 256, 1), "int8") > 2 * aligned
    assert aligned < seconds("gtx-1080-ti", *convolution(64, 256, 28, 256, 1)) / 2


def test_tensor_cores_are_faster_than_cores():
    shape = convolution(64, 512, 28, 512, 1)
    assert seconds("v100", *shape, "fp16") < seconds("v100", *shape) / 3
    assert seconds("h100", *shape, "tf32") < seconds("h100", *shape)


def test_groups_run_one_by_one_before_the_tensor_cores_libraries():
    layer = run("gtx-1080-ti", *convolution(16, 256, 27, 256, 3, groups=32))
    assert layer.job.dispatch == 32 * run("gtx-1080-ti", Gemm(64, 64, 64)).job.dispatch
    together = run("v100", *convolution(16, 256, 27, 256, 3, groups=32))
    assert together.job.dispatch == run("v100", Gemm(64, 64, 64)).job.dispatch


def test_a_depthwise_convolution_has_a_kernel_of_its_own():
    layer = run("gtx-1080-ti", *convolution(16, 256, 56, 256, 3, groups=256))
    assert "depthwise" in kernel_of(layer)
    assert layer.job.memory_time > layer.job.compute_time


def test_layer_by_layer_the_bias_is_a_kernel_of_its_own():
    gemm, conv = convolution(16, 64, 112, 64, 1)
    fused = run("gtx-1080-ti", gemm, conv, bias=True)
    eager = run("gtx-1080-ti", gemm, conv, bias=True, fused=False)
    assert eager.memory_bytes == fused.memory_bytes + 2 * gemm.m * gemm.n * 4
    assert eager.job.dispatch == 2 * fused.job.dispatch
    assert run("gtx-1080-ti", gemm, conv, fused=False).job == run("gtx-1080-ti", gemm, conv).job


def test_a_stride_skips_rows():
    gemm, conv = convolution(16, 256, 56, 128, 1, stride=2)
    layer = run("gtx-1080-ti", gemm, conv)
    inputs, outputs = 16 * 256 * 56 * 56 * 4, 16 * 128 * 28 * 28 * 4
    assert layer.memory_bytes == layer.work.weight_bytes + inputs // 2 + outputs


def test_operands_pass_again_when_they_outgrow_the_cache():
    small = run("gtx-1080-ti", Gemm(1024, 1024, 128))
    assert small.memory_bytes == 4 * (2 * 1024 * 128 + 1024 * 1024)
    large = run("gtx-1080-ti", Gemm(16384, 16384, 4096))
    least = 4 * (2 * 16384 * 4096 + 16384 * 16384)
    assert 2 * least < large.memory_bytes < large.level_bytes["l2"]
    assert large.level_bytes["l2"] < large.level_bytes["shared"]


def test_nothing_is_faster_than_a_launch():
    for device in (name for name in devices.names() if devices.load(name).device_class == "gpu"):
        own = devices.load(device)
        assert seconds(device, Gemm(1, 1, 1)) > own["dispatch_time"] + own["block_time"]


def test_a_product_without_a_convolution_works_in_every_precision():
    # As the phases of training give them: the gradient of the weights of a convolution.
    for device in (name for name in devices.names() if devices.load(name).device_class == "gpu"):
        for precision in devices.load(device).precisions:
            layer = run(device, Gemm(64 * 9, 64, 16 * 56 * 56), None, precision)
            assert layer.job.time > 0


@pytest.mark.parametrize("gemm", [Gemm(1, 1, 1), Gemm(3, 5, 7), Gemm(1, 1000, 3, 7)])
def test_small_and_odd_products(gemm):
    assert 0 < seconds("titan-v", gemm, None, "fp16") < 1e-3
