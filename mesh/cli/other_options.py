"""What people type behind our commands who know the options of other programs, and what is meant here."""

from collections.abc import Mapping, Sequence
from typing import Final

_MODEL = ("-m", "--model", "-hf", "-hfr", "--hf-repo", "-mu", "--model-url")
_PLACES = (
    "-ngl",
    "--n-gpu-layers",
    "--gpu-layers",
    "--gpus",
    "--gpu",
    "-ts",
    "--tensor-split",
    "-sm",
    "--rpc",
)
_CONTEXT = ("-c", "--ctx-size", "--context", "--context-length", "--num-ctx")
_ADDRESS = ("--port", "--host", "-p", "--publish")
_BACKGROUND = ("-d", "--detach", "--daemon", "--background")
_NO_OPTION = "the model stands without an option: mesh {command} MODEL, such as hf:OWNER/REPO"

HINTS: Final[Mapping[str, Mapping[str, str]]] = {
    "": {
        **dict.fromkeys(("-v", "-V"), "did you mean: mesh --version"),
        **dict.fromkeys(_MODEL, "serve it with: mesh serve MODEL --wait, then: mesh chat"),
    },
    "serve": {
        **dict.fromkeys(_MODEL, _NO_OPTION),
        **dict.fromkeys(_CONTEXT, "did you mean --ctx?"),
        **dict.fromkeys(("-np", "--parallel"), "did you mean --slots?"),
        **dict.fromkeys(_PLACES, "the pool places the layers by itself; --layers does it by hand"),
        **dict.fromkeys(
            _ADDRESS, "mesh status tells the API's address; mesh join --api-port N sets its port"
        ),
        **dict.fromkeys(("--api-key", "--listen"), "mesh join --listen ADDR --api-key FILE opens the API"),
        **dict.fromkeys(_BACKGROUND, "it goes on in the background by itself; mesh stop ends it"),
    },
    "pull": dict.fromkeys(_MODEL, _NO_OPTION),
    "plan": dict.fromkeys(_MODEL, _NO_OPTION),
    "chat": {
        **dict.fromkeys(_MODEL, "it talks with the model that is served; mesh serve MODEL serves another"),
        **dict.fromkeys(("-p", "--prompt"), "the prompt stands without an option: mesh chat PROMPT"),
        **dict.fromkeys(("-s", "-sys", "--system-prompt"), "did you mean --system?"),
        **dict.fromkeys(("-i", "-it", "-cnv", "--interactive"), "mesh chat alone is a conversation"),
    },
    "logs": dict.fromkeys(("--tail", "--since"), "did you mean --lines?"),
    "status": dict.fromkeys(("-a", "-v", "--verbose"), "mesh members --all shows more"),
    "members": dict.fromkeys(("-a", "-v", "--verbose"), "--all shows more"),
    "join": {
        **dict.fromkeys(("--key", "--invite", "--auth-key", "--authkey"), "did you mean --token?"),
        **dict.fromkeys(("--host", "--server"), "the host stands without an option: mesh join HOST"),
        **dict.fromkeys(("--mem", "-m", "--ram", "--vram"), "did you mean --memory?"),
        **dict.fromkeys(_BACKGROUND, "it goes on in the background by itself; mesh leave ends it"),
    },
}
"""By command, by option; the command "" is none."""


def option_hint(command: str, words: Sequence[str]) -> str | None:
    """What to do instead of the first option among ``words`` that ``command`` does not know."""
    for word in words:
        if word.startswith("-"):
            hint = HINTS.get(command, {}).get(word.partition("=")[0])
            return None if hint is None else hint.format(command=command)
    return None
