"""Rank items for the histories of a split and measure how well.

As in RecBole every sample is a row with one positive, history items stay in the ranking, and column 0 (the padding)
is out. Which of several items with equal scores comes first, RecBole leaves to torch.topk; here it is the one with the
lower id, on every device.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from model.errors import ConfigError, NonFiniteLoss
from model.metric_names import computed_keys, longest_list
from model.metrics import Ranking, compute
from model.negatives import NegativeSampler
from model.randomness import torch_generator
from model.recommender import Recommender

if TYPE_CHECKING:
    from model.config import Config
    from model.data import Samples, SequentialDataset

Phase = Literal["valid", "test"]

# Bound on scores in memory at once (rows x items): 128 MB in float32.
_SCORES = 32_000_000


@torch.inference_mode()
def evaluate(
    model: Recommender,
    dataset: SequentialDataset,
    phase: Phase,
    config: Config,
    epoch: int = 0,
    check: Callable[[], None] | None = None,
) -> dict[str, float] | None:
    """Metrics of a split, rounded as RecBole rounds; None when the split is empty.

    Of the valid split only the users that ``valid_users`` asks for are ranked.

    Args:
        epoch: names the random stream of sampled evaluation, so that every epoch draws anew, as RecBole does.
        check: called before every batch of samples; may raise to interrupt, which leaves the model in evaluation mode.

    Raises:
        ConfigError: a list is longer than there are items.
        NonFiniteLoss: scores are NaN or infinite.
    """
    samples: Samples = getattr(dataset, phase)
    if not len(samples):
        return None
    if phase == "valid":
        samples = chosen_for_validation(samples, config)
    keys = computed_keys(config)
    longest = _longest_list(dataset, config)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    samples = samples.to(device)
    candidates = _Candidates(dataset, config, phase, epoch, device)
    was_training = model.training
    model.eval()
    parts: list[tuple[Tensor, ...]] = []
    finite = torch.tensor(True, device=device)
    step = max(1, min(config["eval_batch_size"], _SCORES // dataset.item_num))
    for rows in torch.arange(len(samples), device=device).split(step):  # type: ignore[no-untyped-call]
        if check is not None:
            check()
        lengths = samples.lengths(rows)
        histories = samples.padded(rows, int(lengths.max()))
        targets = samples.target[rows, None]
        scores = candidates.scores(model, histories, lengths, targets[:, 0])
        finite &= scores.gather(1, targets).isfinite().all()
        parts.append(rank(scores, targets, longest))
    model.train(was_training)
    if not finite:
        raise NonFiniteLoss(
            f"The model's scores are no numbers on the {phase} split after epoch {epoch}. "
            "Lower learning_rate, or set clip_grad_norm, e.g. {max_norm: 1.0}."
        )
    items, hits, positives, ranked, rank_sum = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    ranking = Ranking(
        items,
        hits,
        positives,
        ranked,
        rank_sum,
        item_num=dataset.item_num,
        train_counts=torch.bincount(dataset.train.target, minlength=dataset.item_num),
        tail_ratio=config["tail_ratio"],
    )
    results = compute(ranking, keys)
    # numpy's rounding differs from Python's in the last place; RecBole compares rounded scores.
    return {key: float(np.round(value, config["metric_decimal_place"])) for key, value in results.items()}


def chosen_for_validation(samples: Samples, config: Mapping[str, Any]) -> Samples:
    """The samples of ``valid_users`` users, the same in every epoch and trial of one seed; all if there are fewer."""
    number = config["valid_users"]
    users = samples.user.unique()  # type: ignore[no-untyped-call]
    if number is None or len(users) <= number:
        return samples
    generator = torch_generator(config["seed"], "users of the validation")
    chosen = users[torch.randperm(len(users), generator=generator)[:number].to(users.device)]
    return samples.select(torch.isin(samples.user, chosen).nonzero()[:, 0])


def check_ranking(dataset: SequentialDataset, config: Config) -> None:
    """Check before anything is trained that the items of a data set can be ranked as ``config`` asks for.

    Raises:
        ConfigError: a list is longer than there are items.
        DataError: there are too few items to draw candidates from.
    """
    _longest_list(dataset, config)
    for phase in ("valid", "test"):
        _Candidates(dataset, config, phase, 0, torch.device("cpu"))


def _longest_list(dataset: SequentialDataset, config: Config) -> int:
    longest = longest_list(computed_keys(config))
    if longest > dataset.item_num:
        raise ConfigError(
            f"topk = {config['topk']} and valid_metric = {config['valid_metric']!r} ask for lists of {longest}: "
            f"there are only {dataset.item_num - 1} items. Use a smaller k."
        )
    return longest


def rank(scores: Tensor, positives: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The first five fields of a :class:`Ranking`.

    Args:
        scores: float [n, item_num]; -inf for items that are no candidates. Column 0 is ignored.
        positives: int64 [n, P], filled up with 0.
        longest: K.
    """
    scores[:, 0] = -torch.inf
    items = _first(scores, longest)
    wanted = positives > 0
    hits = ((items[:, :, None] == positives[:, None, :]) & wanted[:, None, :]).any(-1)
    rank_sum = torch.zeros(len(scores), dtype=torch.float64, device=scores.device)
    for column in range(positives.shape[1]):
        own = scores.gather(1, positives[:, column : column + 1])
        above, same = (scores > own).sum(1), (scores == own).sum(1)
        rank_sum += torch.where(wanted[:, column], above + (same + 1) / 2, 0)
    # What was no candidate was not recommended, even where the list is longer than the candidates.
    items = items.masked_fill(scores.gather(1, items) == -torch.inf, 0)
    return items, hits, wanted.sum(1), (scores > -torch.inf).sum(1), rank_sum


def _first(scores: Tensor, longest: int) -> Tensor:
    """Ids of the ``longest`` highest scores of each row, equal ones by id: int64 [n, longest]."""
    values, items = scores.topk(longest, dim=1)
    ranked = values > -torch.inf
    repeated = ((values[:, 1:] == values[:, :-1]) & ranked[:, 1:]).any(1)
    cut = ((scores >= values[:, -1:]).sum(1) > longest) & ranked[:, -1]
    tied = (repeated | cut).nonzero()[:, 0]
    # Sorting everything is slow and keeps the order of ids; few rows of a trained model need it.
    if len(tied):
        items[tied] = scores[tied].argsort(dim=1, descending=True, stable=True)[:, :longest]
    return items


class _Candidates:
    """Which items are ranked: all (``full``), or the target and N drawn ones (``uniN``, ``popN``).

    Drawn items are never the target, may repeat (a repetition counts once), and may be in the history.
    """

    def __init__(
        self, dataset: SequentialDataset, config: Config, phase: Phase, epoch: int, device: torch.device
    ) -> None:
        mode = config["eval_args"]["mode"][phase]
        self._sampler: NegativeSampler | None = None
        if mode != "full":
            kind, number = re.fullmatch(r"(uni|pop)(\d+)", mode).groups()  # type: ignore[union-attr]
            distribution = {"uni": "uniform", "pop": "popularity"}[kind]
            arguments = {"distribution": distribution, "sample_num": int(number), "alpha": 1.0}
            self._sampler = NegativeSampler(dataset, arguments, device)
            self._generator = torch_generator(config["seed"], "evaluation", phase, epoch, device=device)
            self._item_num = dataset.item_num

    def scores(self, model: Recommender, histories: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """float [B, item_num], -inf for items that are not ranked."""
        if self._sampler is None:
            return model.score_all(histories, lengths)
        chosen = torch.cat([targets[:, None], self._sampler(targets, self._generator)], dim=1)
        found = model.score(histories, lengths, chosen)
        scores = torch.full((len(targets), self._item_num), -torch.inf, dtype=found.dtype, device=found.device)
        return scores.scatter_(1, chosen, found)
