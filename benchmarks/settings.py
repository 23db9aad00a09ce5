"""Compare precisions, memory layouts and the compiler by the network's step and the matrix rate.

    python -m benchmarks.settings                                  # two images on the CPU
    python -m benchmarks.settings --device cuda --batch 32 --precisions fp32 tf32 bf16 --compile --profile

The settings alternate in this process, and the least time of each counts. The matrix rate is the speed of one
large matrix product in the same precision.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.inference import interleaved
from src.masker.base import Masked
from src.trainer.config.build import build_loss, build_masker, build_model, build_optimizer
from src.trainer.config.reading import read_config
from src.trainer.config.run_config import RunConfig
from src.trainer.network.network import Network
from src.util.images.io import as_float
from src.util.seed import make_generator

OPERATIONS = 15
"""Number of listed operations."""


@dataclass
class Bare:
    """The network's step alone, on a batch that is already masked and on the device.

    `config` gives network, loss and optimiser; `noisy` is (B, C, H, W) in [0, 1].
    """

    config: RunConfig
    device: torch.device
    noisy: Tensor
    masked: Masked
    network: Network = field(init=False)

    def __post_init__(self) -> None:
        self.network = build_model(self.config, self.device)
        self.network.module.train()
        self.loss = build_loss(self.config)
        self.optimizer = build_optimizer(self.config, self.network.module.parameters())

    def __call__(self) -> None:
        """Run forward, loss, backward and update."""
        value = self.loss(self.network(self.masked.image), self.noisy, self.masked.mask, 0.5)
        self.optimizer.zero_grad(set_to_none=True)
        with self.network.arithmetic():
            value.total.backward()
        self.optimizer.step()


def random_batch(options: argparse.Namespace, device: torch.device) -> Tensor:
    """Return 8-bit noise, uint8 (B, 3, H, W), the input of a training step."""
    return torch.randint(256, (options.batch, 3, options.edge, options.edge), dtype=torch.uint8).to(device)


def with_settings(config: RunConfig, precision: str, channels_last: bool, compiled: bool) -> RunConfig:
    """Return the configuration with other settings of the computation."""
    update = {"precision": precision, "channels_last": channels_last, "compile": compiled}
    return config.model_copy(update={"training": config.training.model_copy(update=update)})


def compare_settings(options: argparse.Namespace, config: RunConfig, device: torch.device) -> None:
    """Print the bare step's time and its share of the matrix rate, for each setting."""
    batch = random_batch(options, device)
    masked = build_masker(config).mask(batch, make_generator(0, "mask"))
    calls: dict[str, Callable[[], object]] = {}
    for precision, last, compiled in product(
        options.precisions, (False, True), (False, True) if options.compile else (False,)
    ):
        name = " ".join([precision, *["channels_last"] * last, *["compiled"] * compiled])
        calls[name] = Bare(with_settings(config, precision, last, compiled), device, as_float(batch), masked)
    first = next(iter(calls.values()))
    assert isinstance(first, Bare)
    operations = operations_of(first)
    ceilings = {precision: matrix_rate(precision, device) for precision in options.precisions}
    seconds = interleaved(calls, options.repeats, device.type)
    slowest = seconds[next(iter(seconds))]
    print(f"{'bare step':<30}{'s':>9}{'images/s':>10}{'speed':>7}{'of the matrix rate':>20}")
    for name, value in seconds.items():
        share = operations / value / ceilings[name.split()[0]]
        speed = f"{slowest / value:.2f}"
        print(f"{name:<30}{value:9.4f}{options.batch / value:10.2f}{speed:>7}{share:>20.1%}")
    if options.profile:
        fastest = min(seconds, key=lambda name: seconds[name])
        print(f"{fastest}, by operation:")
        print_operations(calls[fastest], device)
    rates = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in ceilings.items())
    print(f"matrix rate in TFLOP/s: {rates}; a step is {operations / 1e12:.3g} TFLOP")


def print_operations(call: Callable[[], object], device: torch.device) -> None:
    """Print the operations that take most of a call's time: the GPU's time on CUDA."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]) as profiled:
        call()
        if on_gpu:
            torch.cuda.synchronize(device)
    seconds = Counter[str]()
    for event in profiled.key_averages():
        time = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        seconds[event.key] += time / 1e6
    whole = seconds.total()
    for name, value in seconds.most_common(OPERATIONS):
        print(f"{value / whole:7.1%}{value:9.4f} s  {name[:90]}")


def operations_of(bare: Bare) -> float:
    """Return the floating-point operations of a step. A multiply-add counts as two."""
    with FlopCounterMode(display=False) as counter:
        bare()
    return float(counter.get_total_flops())


def matrix_rate(precision: str, device: torch.device) -> float:
    """Return the operations per second of a large matrix product, the best of several."""
    edge = 8192 if device.type == "cuda" else 2048
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.rand(edge, edge, device=device).to(kind) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        seconds = interleaved({"product": lambda: a @ b}, 8, device.type)["product"]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * edge**3 / seconds


def flags(description: str) -> argparse.ArgumentParser:
    """Return a parser with the flags for network and batch."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--features", type=int, nargs=2, default=[96, 192], help="widths of UNet2")
    parser.add_argument("--edge", type=int, default=256, help="edge of the crops, px")
    parser.add_argument("--batch", type=int, default=2, help="crops per step")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of short measurements")
    return parser


def headline(options: argparse.Namespace) -> str:
    """Return device, threads, version, network and batch."""
    device = options.device
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    return (
        f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, UNet2 {options.features},"
        f" {options.batch} crops of {options.edge}x{options.edge} px"
    )


def main() -> None:
    """Measure and print the table."""
    parser = flags(__doc__.splitlines()[0])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=("fp32", "tf32", "bf16"))
    parser.add_argument(
        "--profile", action="store_true", help="also list the operations of the fastest setting"
    )
    parser.add_argument("--compile", action="store_true", help="also measure compiled networks")
    options = parser.parse_args()
    print(headline(options))
    config = read_config("sidd_train", [f"model.kwargs.features={options.features}"])
    compare_settings(options, config, torch.device(options.device))


if __name__ == "__main__":
    main()
