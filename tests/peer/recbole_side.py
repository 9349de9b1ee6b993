"""What RecBole does with a job, written down for a comparison. Runs in RecBole's environment, imports nothing of ours.

    python recbole_side.py job.json

The job names a stage, RecBole's settings and the file to write: a dictionary of tensors, numbers and texts; perhaps
also a checkpoint to go on from, or one to evaluate (and then nothing is trained).
"""

import json
import sys
from pathlib import Path

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed


def main(path: str) -> None:
    job = json.loads(Path(path).read_text())
    torch.set_num_threads(1)
    # RecBole reads flags itself, every time it makes a configuration.
    sys.argv = sys.argv[:1]
    config = Config(model="S3Rec", dataset=job["dataset"], config_dict=job["config"])
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train, valid, test = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(config["model"])(config, train._dataset)
    record = {"initial": weights(model), "items": list(dataset.field2id_token["item_id"]), "losses": [], "batches": []}
    watch(model, record)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    if job.get("evaluate"):
        for split, data in (("valid", valid), ("test", test)):
            found = trainer.evaluate(data, model_file=job["evaluate"], show_progress=False)
            record[f"{split}_result"] = dict(found)
        torch.save(plain(record), job["output"])
        return
    if job.get("resume"):
        trainer.resume_checkpoint(job["resume"])
        record["resumed"] = {"epoch": trainer.start_epoch, "best_valid_score": trainer.best_valid_score}
    _, result = trainer.fit(train, valid, saved=True, show_progress=False)
    record["final"] = weights(model)
    record["scores"] = scores(model, test)
    record["valid_result"] = dict(result) if result else None
    # As evaluate(load_best_model=True) does, which today's torch refuses.
    best = torch.load(trainer.saved_model_file, weights_only=False)
    model.load_state_dict(best["state_dict"])
    record["checkpoint"], record["best_epoch"] = trainer.saved_model_file, best["epoch"] + 1
    record["test_result"] = dict(trainer.evaluate(test, load_best_model=False, show_progress=False))
    torch.save(plain(record), job["output"])


def weights(model: torch.nn.Module) -> dict:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def watch(model: torch.nn.Module, record: dict) -> None:
    """Write down every batch's loss, and in pretraining what was masked and drawn."""
    calculate, reconstruct = model.calculate_loss, model.reconstruct_pretrain_data

    def calculate_loss(interaction):
        loss = calculate(interaction)
        record["losses"].append(float(loss))
        return loss

    def reconstruct_pretrain_data(*arguments):
        tensors = reconstruct(*arguments)
        record["batches"].append([tensor.clone() for tensor in tensors])
        return tensors

    model.calculate_loss, model.reconstruct_pretrain_data = calculate_loss, reconstruct_pretrain_data


def scores(model: torch.nn.Module, test) -> dict:
    """Full-sort scores of the first test batch, with what they belong to."""
    model.eval()
    interaction = next(iter(test))[0]
    with torch.no_grad():
        ranked = model.full_sort_predict(interaction)
    return {
        "histories": interaction["item_id_list"],
        "lengths": interaction["item_length"],
        "scores": ranked.view(len(interaction["item_length"]), -1),
    }


def plain(value):
    """Without numpy's scalars and texts, which a safe reader refuses."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, (torch.Tensor, bool)):
        return value
    if isinstance(value, str):
        return str(value)
    return float(value)


if __name__ == "__main__":
    main(sys.argv[1])
