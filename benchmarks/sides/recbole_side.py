# mypy: ignore-errors
"""RecBole's side of ``benchmarks.training``. Runs in RecBole's environment and imports nothing of ours.

    python recbole_side.py JOB        (JOB: stage, dataset, config, threads, as JSON)

Says when it is ready, then trains as many batches as each line of its input asks for and answers with what they took.
"""

import json
import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.utils import get_model, get_trainer, init_seed  # noqa: E402


class Batches:
    """The next batches of a data loader, over and over."""

    def __init__(self, loader):
        self.loader, self.wanted, self.shuffle = loader, 0, True
        self.stream = self.endless()

    def endless(self):
        while True:
            yield from self.loader

    def __len__(self):
        return self.wanted

    def __iter__(self):
        for _ in range(self.wanted):
            yield next(self.stream)


def main() -> None:
    job = json.loads(sys.argv[1])
    sys.argv = sys.argv[:1]  # RecBole reads flags itself
    torch.set_num_threads(job["threads"])
    # It writes logs and checkpoints where it is started.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        serve(job, Path(folder))


def serve(job: dict, folder: Path) -> None:
    weights = folder / "weights.pth"
    settings = {**job["config"], "use_gpu": False, "train_neg_sample_args": None, "pre_model_path": str(weights)}
    config = Config(model="S3Rec", dataset=job["dataset"], config_dict={**settings, "train_stage": "pretrain"})
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    loader, _, _ = data_preparation(config, dataset)
    model = get_model("S3Rec")(config, loader._dataset)
    if job["stage"] == "finetune":
        torch.save({"state_dict": model.state_dict()}, weights)
        config = Config(model="S3Rec", dataset=job["dataset"], config_dict={**settings, "train_stage": "finetune"})
        model = get_model("S3Rec")(config, loader._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], "S3Rec")(config, model)
    batches = Batches(loader)
    samples, size = len(loader.dataset), config["train_batch_size"]
    answer({"samples": samples, "batch": size})
    for line in sys.stdin:
        batches.wanted = int(line)
        wall, cpu = time.perf_counter(), time.process_time()
        loss = trainer._train_epoch(batches, 0, show_progress=False)
        took = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "loss": float(loss)}
        answer({**took, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


def answer(values: dict) -> None:
    print("@" + json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
