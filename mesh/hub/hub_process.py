"""The process that talks with the hub and downloads; it alone imports the hub's library."""

import huggingface_hub

VERSION = huggingface_hub.__version__
