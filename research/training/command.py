"""The command line of `scripts/train_v4`."""

import argparse
import logging
from pathlib import Path

import torch

from research.training.encoded import train_evidence
from research.training.loop import Schedule, calibrate, mix, train
from research.training.model_files import load_network, write_model
from research.training.shards import stream_shards
from worker.v4.card import DEFAULT_MODEL
from worker.v4.network import Network

_CALIBRATION_SHARDS = 8


def main(arguments: list[str] | None = None) -> int:
    """Train V4 and write the model folder."""
    parser = argparse.ArgumentParser(prog="train_v4", description=main.__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of clean images, with a folder per source")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4000, help="number of steps; makes the result reproducible")
    parser.add_argument("--minutes", type=float, help="training time, instead of --steps")
    parser.add_argument("--threads", type=int, default=1, help="threads for training; another process makes examples")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--initial", type=Path, help="model folder to start from, instead of random weights")
    parser.add_argument(
        "--keep-convolutions", action="store_true", help="freeze the convolutions, to train on more examples per minute"
    )
    parser.add_argument(
        "--mix",
        nargs=2,
        action="append",
        default=[],
        metavar=("MODEL", "SHARE"),
        help="mix the weights of another model with the result; may be given several times",
    )
    parser.add_argument("--steps-per-shard", type=int, default=12, help="steps for each new shard (%(default)s)")
    parser.add_argument("--shard", type=int, default=512, metavar="N", help="examples per shard (%(default)s)")
    parser.add_argument("--name", default="starlight-v4")
    parser.add_argument("--version", default="0.0.0")
    parser.add_argument("--threshold", type=float, default=0.5, help="until validate_v4 chooses one (%(default)s)")
    parser.add_argument("--out", type=Path, default=DEFAULT_MODEL, help="model folder to write (%(default)s)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    shards = stream_shards(options.corpus, options.seed, size=options.shard)
    if options.keep_convolutions and (options.initial is None or options.minutes):
        parser.error("--keep-convolutions needs --initial and --steps")
    network = Network() if options.initial is None else load_network(options.initial)
    if options.keep_convolutions:
        schedule = Schedule(
            options.steps,
            batch=512,
            steps_per_shard=options.steps_per_shard,
            pool=100_000,
            peak_rate=options.rate,
        )
        network = train_evidence(network, shards, schedule, options.seed)
    else:
        schedule = Schedule(
            options.steps, options.minutes, steps_per_shard=options.steps_per_shard, peak_rate=options.rate
        )
        network = train(network, shards, schedule, options.seed)
    network = mix(network, [(load_network(Path(folder)), float(share)) for folder, share in options.mix])
    calibrate(network, shards, _CALIBRATION_SHARDS)
    card = write_model(options.out, network, options.name, options.version, options.threshold)
    print(f"{options.out}: {card.name} {card.version}, sha256 {card.sha256}")
    return 0
