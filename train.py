"""Trains a model by a recipe.

Example: python train.py --config configs/train-tiny.yaml --data PICTURES --out RUN --export RUN/model steps=16000
On several GPUs: accelerate launch --multi_gpu train.py ...
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.planning.arguments import OneLineParser, show_any_name


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0 done, 2 wrong usage or a run that diverged, 130 interrupted (the run is saved)."""
    parser = build_parser()
    options = parser.parse_intermixed_args(arguments)
    show_any_name()
    from utils.planning.errors import UserError
    from utils.training.recipe import load_recipe

    try:
        chosen = {"logger": options.logger, "feature_weights": options.feature_weights}
        recipe = load_recipe(options.config, options.overrides, {key: value for key, value in chosen.items() if value is not None})
        if options.data is None and options.export is None:
            raise UserError("Nothing to do: give --data to train, or --export to export a run.")
        if options.data is not None and not options.data.is_dir():
            raise UserError(f"The folder of training pictures {options.data} does not exist; give one with --data.")
        from utils.training.run import export_run, train

        if options.data is None:
            return export_run(recipe, options.out, options.export)
        return train(recipe, options.data, options.out, options.resume, options.export)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="train.py", description="Trains a model by a recipe; Ctrl-C saves the run.")
    parser.add_argument("--config", type=Path, required=True, help="recipe, such as configs/train-tiny.yaml")
    parser.add_argument("--data", type=Path, help="folder of pictures to learn from; without it, --export exports the run's checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: checkpoint and log")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out exactly where its checkpoint is")
    parser.add_argument("--export", type=Path, help="folder to write the best weights to with every checkpoint, from the first validation on")
    parser.add_argument("--logger", choices=("tensorboard", "wandb", "none"), help="where figures and pictures of the run go (the recipe's)")
    parser.add_argument("--feature-weights", help=".npz of a SqueezeNet 1.1, which a feature_weight above 0 needs; used for training only")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace those of the recipe")
    return parser


if __name__ == "__main__":
    sys.exit(main())
