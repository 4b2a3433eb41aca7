"""The one llama.cpp that this version of the mesh builds, and the compiler for machines that have none.

All members of a pool have to speak one RPC protocol, so the version is pinned here and nowhere else.
"""

SDIST_PROJECT = "llama-cpp-python"
SDIST_VERSION = "0.3.36"
SDIST_NAME = f"llama_cpp_python-{SDIST_VERSION}.tar.gz"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
SDIST_SIZE = 76_589_250
"""Bytes."""

SOURCE_PREFIX = f"llama_cpp_python-{SDIST_VERSION}/vendor/llama.cpp"
"""Where llama.cpp lies inside the source distribution."""

COMMIT = "0c1e57098"
"""llama.cpp's commit, as the source distribution's change log names it."""

RPC_VERSION = "7.0.0"
"""The wire protocol of ggml-rpc at that commit."""

BUILD_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_RPC=ON",
    # RDMA would lead around the gate, which fences TCP streams.
    "-DGGML_RPC_RDMA=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    # A build would fetch the web interface from the network, or need npm.
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    # Else CMake asks git, which answers with the commit of whatever repository encloses the cache.
    f"-DLLAMA_BUILD_COMMIT={COMMIT}",
    "-DLLAMA_BUILD_NUMBER=1",
)
"""CMake's flags for every backend."""

ZIG_PROJECT = "ziglang"
ZIG_VERSION = "0.15.2"
