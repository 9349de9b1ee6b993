"""S3Rec's network: embeddings, a transformer encoder, four projections for pretraining.

Zhou et al., "S3-Rec: Self-Supervised Learning for Sequential Recommendation with Mutual Information Maximization",
CIKM 2020. ``state_dict`` has RecBole's names and shapes, so that either program loads the other's file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from model.layers import FeedForward, MultiHeadAttention, Noise, TransformerEncoder, TransformerLayer, dropout, lookup
from model.recommender import Recommender
from model.s3rec.parameters import review

if TYPE_CHECKING:
    from model.config import Config
    from model.data import SequentialDataset

# What RecBole adds to the scores of keys that may not be seen; exp of it is exactly 0 in float32.
HIDDEN = -10000.0


class S3Rec(Recommender):
    """The network of S3Rec.

    Items have ids 1..item_num - 1; 0 is the padding, ``item_num`` the mask token.

    Args:
        item_num: number of item ids, padding included, mask token not.
        feature_num: number of attributes, padding not included.
        max_length: longest history, L.
    """

    def __init__(self, config: Config, item_num: int, feature_num: int, max_length: int) -> None:
        super().__init__()
        width, heads, eps = config["hidden_size"], config["n_heads"], config["layer_norm_eps"]
        review(config)
        self.item_num, self.mask_token, self.max_length = item_num, item_num, max_length
        self.hidden_dropout = config["hidden_dropout_prob"]
        self.causal_pretraining = config["pretrain_attention"] == "causal"
        self.aligned_right = config["position_alignment"] == "right"
        self.item_embedding = nn.Embedding(item_num + 1, width, padding_idx=0)
        self.position_embedding = nn.Embedding(max_length, width)
        # padding_idx has no effect here (the matrix is used as a whole); RecBole declares it too.
        self.feature_embedding = nn.Embedding(feature_num, width, padding_idx=0)
        layer = TransformerLayer(
            MultiHeadAttention(width, heads, self.hidden_dropout, config["attn_dropout_prob"], eps),
            FeedForward(width, config["inner_size"], config["hidden_act"], self.hidden_dropout, eps),
        )
        self.trm_encoder = TransformerEncoder(layer, config["n_layers"])
        self.LayerNorm = nn.LayerNorm(width, eps=eps)
        self.aap_norm = nn.Linear(width, width)
        self.mip_norm = nn.Linear(width, width)
        self.map_norm = nn.Linear(width, width)
        self.sp_norm = nn.Linear(width, width)

    def embed(self, items: Tensor, positions: Tensor, noise: Noise | None) -> Tensor:
        """Item ids [B, l] and rows of the position matrix [l, H] or [B, l, H] -> [B, l, H]."""
        embedded = lookup(items, self.item_embedding) + positions
        return dropout(self.LayerNorm(embedded), self.hidden_dropout, noise)

    def encode_pretraining(self, items: Tensor, noise: Noise | None, *, last_only: bool) -> Tensor:
        """Encode left-padded sequences, every position seeing every other (earlier ones only, if configured so).

        ``items`` [B, l] are the last l columns of sequences padded to L.
        Returns [B, l, H], or with ``last_only`` the last position's [B, H].
        """
        padded = items == 0
        embedded = self.embed(items, self._pretraining_positions(padded), noise)
        # The bias is left out when no row is padded: adding zeros would change nothing.
        last_bias = bias = padded[:, None].to(embedded.dtype) * HIDDEN if self._any(padded) else None
        if self.causal_pretraining:
            causal = self._causal(embedded)[None]
            bias = causal if bias is None else bias + causal
        if not last_only:
            out: Tensor = self.trm_encoder(embedded, bias, noise)
            return out
        last = torch.full((len(items),), items.shape[1] - 1, device=items.device)
        return self.trm_encoder.at_positions(embedded, last, bias, last_bias, noise)

    def _pretraining_positions(self, padded: Tensor) -> Tensor:
        width = padded.shape[1]
        if self.aligned_right:
            return self.position_embedding.weight[self.max_length - width :]
        columns = torch.arange(width, device=padded.device) - padded.sum(1, keepdim=True)
        return self.position_embedding.weight[columns.clamp_(min=0)]

    def encode_history(self, items: Tensor, lengths: Tensor, noise: Noise | None = None) -> Tensor:
        """Encode right-padded histories [B, l], every position seeing earlier ones; the last item's [B, H].

        Real positions never see the padding, which comes later; only the last layer, which looks back from one
        position, has to be told where the row ends.
        """
        width = items.shape[1]
        embedded = self.embed(items, self.position_embedding.weight[:width], noise)
        beyond = torch.arange(width, device=items.device) >= lengths[:, None]
        last_bias = beyond[:, None].to(embedded.dtype) * HIDDEN if self._any(beyond) else None
        return self.trm_encoder.at_positions(embedded, lengths - 1, self._causal(embedded)[None], last_bias, noise)

    def encode_prefixes(self, items: Tensor, noise: Noise | None = None) -> Tensor:
        """Encode right-padded histories [B, l] and all their prefixes: [B, l, H], at each item its prefix."""
        width = items.shape[1]
        embedded = self.embed(items, self.position_embedding.weight[:width], noise)
        out: Tensor = self.trm_encoder(embedded, self._causal(embedded)[None], noise)
        return out

    @staticmethod
    def _causal(embedded: Tensor) -> Tensor:
        width = embedded.shape[1]
        return torch.full((width, width), HIDDEN, dtype=embedded.dtype, device=embedded.device).triu_(1)

    def score_all(self, histories: Tensor, lengths: Tensor) -> Tensor:
        """See :meth:`Recommender.score_all`; the mask token's column is left out."""
        return self.encode_history(histories, lengths) @ self.item_embedding.weight[:-1].T

    def score(self, histories: Tensor, lengths: Tensor, candidates: Tensor) -> Tensor:
        """See :meth:`Recommender.score`."""
        encoded = self.encode_history(histories, lengths)
        return torch.bmm(self.item_embedding.weight[candidates], encoded[:, :, None])[:, :, 0]

    @staticmethod
    def _any(mask: Tensor) -> bool:
        # On a GPU asking would wait for it; there the bias is always built.
        return mask.is_cuda or bool(mask.any())


def build(config: Config, dataset: SequentialDataset) -> S3Rec:
    """A model with the initial weights that RecBole has for ``config["seed"]``.

    RecBole draws every module's default weights and then all weights anew, in the order of the modules, from
    torch's global generator; the same is done here with that generator put back afterwards.
    """
    features = dataset.item_attributes(config["item_attribute"]).num - 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        model = S3Rec(config, dataset.item_num, features, config["MAX_ITEM_LIST_LENGTH"])

        def initialise(module: nn.Module) -> None:
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.data.normal_(0.0, config["initializer_range"])
            if isinstance(module, nn.Linear):
                module.bias.data.zero_()

        model.apply(initialise)
    return model
