"""Name -> model. Adding a model is one line here, or an entry point of the group ``rectuner.models``."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points

from model import lookalikes
from model.defaults import COMMON
from model.definition import ModelDefinition
from model.errors import ConfigError
from model.parameters import Parameter, by_name

GROUP = "rectuner.models"

# Where each model that ships with the package keeps its definition. Resolved when first asked for, so that
# naming a model costs no import and model packages may import the configuration.
BUILT_IN = {
    "S3Rec": "model.s3rec:DEFINITION",
    "SURGE": "model.surge:DEFINITION",
    "Popularity": "model.popularity:DEFINITION",
}


# The model that commands and pages begin with when none is named.
DEFAULT = "S3Rec"
# The model that every study is compared with (model.baseline).
BASELINE = "Popularity"


# Models of RecBole 1.2.1 that are not here, so that whoever names one is told so and not that it is misspelt.
_RECBOLE = frozenset(
    (
        "ADMMSLIM AFM AsymKNN AutoInt BERT4Rec BPR CDAE CFKG CKE CORE Caser ConvNCF DCN DCNV2 DGCF DIEN DIN DMF "
        "DSSM DeepFM DiffRec EASE ENMF EulerNet FDSA FEARec FFM FISM FM FNN FOSSIL FPMC FiGNN FwFM GCMC GCSAN "
        "GRU4Rec GRU4RecCPR GRU4RecF GRU4RecKG HGN HRM ItemKNN KGAT KGCN KGIN KGNNLS KSR KTUP LDiffRec LINE LR "
        "LightGBM LightGCN LightSANs MCCLK MKR MacridVAE MultiDAE MultiVAE NAIS NARM NCEPLRec NCL NFM NGCF NNCF NPE "
        "NeuMF NextItNet PNN Pop RaCT Random RecVAE RepeatNet RippleNet SASRec SASRecCPR SASRecF SGL SHAN SINE "
        "SLIMElastic SRGNN STAMP SimpleX SpectralCF TransRec WideDeep XGBoost xDeepFM"
    ).split()
)


def model_names() -> list[str]:
    """All names, the shipped ones first."""
    others = sorted(entry.name for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN)
    return [*BUILT_IN, *others]


@cache
def get_model(name: str) -> ModelDefinition:
    """The model called ``name`` (names are exact, as in RecBole).

    Raises:
        ConfigError: there is none (the message has the nearest name), or it can't be imported.
    """
    target = BUILT_IN.get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        definition = getattr(importlib.import_module(module), attribute)
    else:
        found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
        if not found:
            raise ConfigError(_unknown(name))
        try:
            definition = found[0].load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"model {name!r} is registered as {found[0].value}, which can't be imported: {error}."
            ) from error
    if not isinstance(definition, ModelDefinition):
        raise ConfigError(f"model {name!r} is registered, but not as a ModelDefinition.")
    return definition


@cache
def parameters_of(name: str) -> dict[str, Parameter]:
    """The schema of a model's configuration: the common keys, then its own.

    A model's own version of a common key has another default or doc, and decides as much what is measured.
    """
    common = by_name(COMMON)
    measuring = {key for key, parameter in common.items() if parameter.measures}
    own = [replace(each, measures=each.measures or each.name in measuring) for each in get_model(name).parameters]
    return common | by_name(own)


def _unknown(name: str) -> str:
    names = model_names()
    there_are = f"There are: {', '.join(names)}."
    known = next((known for known in _RECBOLE if known.lower() == name.lower()), None)
    if known is not None:
        return f"model = {name!r}: {known} is a model of RecBole that is not here. {there_are}"
    folded = {known.lower(): known for known in names}
    nearest = folded.get(name.lower()) or next(iter(difflib.get_close_matches(name, names, n=1)), None)
    hint = f"Did you mean {nearest}?" if nearest else there_are
    return f"model = {name!r}: there is no model of that name. {hint}{lookalikes.hint(name)}"
