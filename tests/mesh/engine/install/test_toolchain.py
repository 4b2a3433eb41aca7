import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mesh.engine.engine_errors import EngineError
from mesh.engine.install import pins
from mesh.engine.install.package_index import IndexFile
from mesh.engine.install.toolchain import (
    Toolchain,
    choose_zig_wheel,
    find_compiler,
    write_wrappers,
    zig_flags,
)

HAS_COMPILER = any(shutil.which(name) for name in ("g++", "clang++", "c++"))


def wheels() -> list[IndexFile]:
    names = [
        f"ziglang-{version}-py3-none-{platform}.whl"
        for version in ("0.1.0", pins.ZIG_VERSION, "99.0")
        for platform in (
            "macosx_11_0_arm64",
            "macosx_12_0_x86_64",
            "manylinux_2_12_i686.manylinux2010_i686",
            "manylinux_2_12_x86_64.manylinux2010_x86_64.musllinux_1_1_x86_64",
            "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
            "win_amd64",
        )
    ]
    return [IndexFile(name, f"http://x/{name}", "00") for name in names]


@pytest.mark.parametrize(
    ("system", "machine", "part"),
    [
        ("linux", "x86_64", "manylinux_2_12_x86_64"),
        ("linux", "aarch64", "manylinux_2_17_aarch64"),
        ("linux", "AMD64", "manylinux_2_12_x86_64"),
        ("darwin", "arm64", "macosx_11_0_arm64"),
        ("darwin", "x86_64", "macosx_12_0_x86_64"),
    ],
)
def test_the_wheel_is_the_pinned_one_for_this_machine(system: str, machine: str, part: str) -> None:
    assert choose_zig_wheel(wheels(), system, machine).name.startswith(
        f"ziglang-{pins.ZIG_VERSION}-py3-none-{part}"
    )


def test_a_machine_without_a_wheel_is_told_to_install_a_compiler() -> None:
    with pytest.raises(EngineError, match="riscv64") as caught:
        choose_zig_wheel(wheels(), "linux", "riscv64")
    assert "apt-get install g++" in caught.value.hint


@pytest.mark.skipif(not HAS_COMPILER, reason="needs a compiler on the machine")
async def test_the_machines_compiler_is_tried_and_identified(tmp_path: Path) -> None:
    found = await find_compiler(tmp_path)
    assert isinstance(found, Toolchain)
    assert any(character.isdigit() for character in found.identity)
    assert found.flags[0].startswith("-DCMAKE_C_COMPILER=/")


async def test_a_compiler_that_knows_no_cpp_17_is_passed_over(tmp_path: Path) -> None:
    for name in ("gcc", "g++"):
        (tmp_path / name).write_text("#!/bin/sh\necho unknown option >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    found = await find_compiler(tmp_path, {"PATH": str(tmp_path)})
    assert found == "g++ does not compile C++17, no clang, no cc"


async def test_a_compiler_that_a_person_chose_is_tried_first(tmp_path: Path) -> None:
    program = tmp_path / "test.out"
    script = f"#!/bin/sh\ncase $* in *-o*) echo '#!/bin/sh' > {program}; chmod +x {program};; esac\n"
    for name in ("my-cc", "my-c++"):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": os.environ["PATH"], "CC": str(tmp_path / "my-cc"), "CXX": str(tmp_path / "my-c++")}
    found = await find_compiler(tmp_path, environ)
    assert isinstance(found, Toolchain)
    assert found.flags[1] == f"-DCMAKE_CXX_COMPILER={tmp_path}/my-c++"


def test_the_wrappers_pass_every_argument_on_as_it_is(tmp_path: Path) -> None:
    zig = tmp_path / "a folder" / "zig"
    zig.parent.mkdir()
    zig.write_text('#!/bin/sh\nfor argument in "$@"; do echo "<$argument>"; done\n')
    zig.chmod(0o755)
    write_wrappers(zig, tmp_path / "tools")
    output = subprocess.run(
        [tmp_path / "tools" / "c++", "-DX=a b", "$HOME"], capture_output=True, text=True, check=True
    )
    assert output.stdout == "<c++>\n<-DX=a b>\n<$HOME>\n"


def test_on_macos_zig_builds_without_the_systems_frameworks(tmp_path: Path) -> None:
    assert "-DGGML_METAL=OFF" in zig_flags(tmp_path, "darwin")
    assert "-DGGML_METAL=OFF" not in zig_flags(tmp_path, "linux")
