"""How a deployment says what the engine is started with, beside context and slots: in its options. Pure."""

from typing import Final

from leader.model.engine_settings import DEFAULT_KV, KV_TYPES, EngineSettings
from mesh.wire.facts import Deployment, DeploymentOptions

KV: Final = "kv"
EMBEDDINGS: Final = "embeddings"
_YES: Final = "yes"


def settings_of(deployment: Deployment) -> EngineSettings:
    """The settings that a deployment asks for.

    A type of keys and values that this program does not know is of a later one: then they are kept whole,
    which any engine can.
    """
    told = dict(deployment.options)
    kv = told.get(KV, DEFAULT_KV)
    return EngineSettings(
        deployment.context,
        deployment.slots,
        kv if kv in KV_TYPES else DEFAULT_KV,
        told.get(EMBEDDINGS) == _YES,
        0 if deployment.second is None else deployment.second.size,
    )


def with_settings(options: DeploymentOptions, settings: EngineSettings) -> DeploymentOptions:
    """The options with these settings in place of former ones; what is usual is not said."""
    told = {key: value for key, value in options if key not in (KV, EMBEDDINGS)}
    if settings.kv != DEFAULT_KV:
        told[KV] = settings.kv
    if settings.embeddings:
        told[EMBEDDINGS] = _YES
    return tuple(sorted(told.items()))
