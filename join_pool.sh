#!/usr/bin/env bash
# Installs or upgrades `mesh` on this machine, then runs `mesh join`, or the mesh command that is given.
#
#   bash join_pool.sh [COMMAND ...]                                    from a checkout
#   curl -fsSL ADDRESS/join_pool.sh | MESH_SOURCE=... bash -s -- [COMMAND ...]
#
# Needs bash and python3, nothing else: no pip, no venv module, no compiler, no root.
#
#   MESH_SOURCE    where the source is: a folder; a .tar.gz (file or address), `#sha256=HEX` allowed, over plain http
#                  needed; or a git address, `#branch` allowed
#   PIP_INDEX_URL  (or UV_DEFAULT_INDEX, UV_INDEX_URL) a package index to use in place of pypi.org
#
# Everything goes to ${XDG_DATA_HOME:-~/.local/share}/frankenstein-mesh, and one symbolic link to a folder on the PATH.
# All work is in functions that the last line calls: a download that was cut short executes nothing.
set -euo pipefail

# This file; empty when it comes through a pipe (inside a function BASH_SOURCE would not tell).
SCRIPT=${BASH_SOURCE[0]:-}

UV_VERSION=0.13.9
# The oldest uv whose results with this script are known to be the same.
UV_OLDEST=0.9.0
# The environment with its packages, and the same again while they are unpacked.
NEEDED_MEGABYTES=700
# The exit status for a source that must not be taken, where why has been said.
REFUSED=2

say() { printf '%s\n' "$*" >&2; }

# fail MESSAGE HINT
fail() {
    say "join_pool: $1"
    say "  -> $2"
    exit 1
}

# Any Python that can fetch files will do here; the environment's own is chosen in create_environment.
find_python() {
    PY=$(python3 -c 'import sys; assert sys.version_info >= (3, 6); print(sys.executable)' 2>/dev/null </dev/null) || PY=
    [ -n "$PY" ] && return 0
    case $(uname -s) in
        Darwin) fail "python3 is missing" "xcode-select --install   (or: brew install python)" ;;
        *) fail "python3 is missing" "sudo apt install python3   (or what your system calls it)" ;;
    esac
}

use_index_and_certificates_of_pip() {
    if [ -z "${UV_DEFAULT_INDEX:-}" ] && [ -z "${UV_INDEX_URL:-}" ] && [ -n "${PIP_INDEX_URL:-}" ]; then
        export UV_DEFAULT_INDEX=$PIP_INDEX_URL
    fi
    if [ -z "${SSL_CERT_FILE:-}" ] && [ -n "${PIP_CERT:-}" ]; then
        export SSL_CERT_FILE=$PIP_CERT
    fi
    # The machine's own certificates, which may hold a company's: uv would take those that it carries itself, and
    # Python from python.org on macOS has none until a script of its own was run.
    local file
    for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        if [ -z "${SSL_CERT_FILE:-}" ] && [ -r "$file" ]; then
            export SSL_CERT_FILE=$file
        fi
    done
}

# Whoever may write to the folder may replace the program: it is for this user alone.
close_data_folder() {
    [ -O "$DATA" ] ||
        fail "$DATA belongs to another user" "set XDG_DATA_HOME to a folder of your own, and run this again"
    "$PY" - "$DATA" <<'PYTHON' || fail "others could write to $DATA, and so replace programs in it" "rm -rf '$DATA', and run this again: it installs them anew"
import os, stat, sys

mode = os.stat(sys.argv[1]).st_mode
if mode & stat.S_IWOTH:
    sys.exit(1)
os.chmod(sys.argv[1], 0o700)
PYTHON
}

make_data_folder() {
    DATA=${XDG_DATA_HOME:-${HOME:?HOME is not set}/.local/share}/frankenstein-mesh
    { mkdir -p "$DATA" && [ -w "$DATA" ]; } 2>/dev/null ||
        fail "cannot write to $DATA" "set XDG_DATA_HOME to a folder that you may write to, and run this again"
    close_data_folder
    # uv keeps downloads in the home folder, which need not be where XDG_DATA_HOME is.
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}
    if [ -z "${UV_CACHE_DIR:-}" ] && ! { mkdir -p "$cache" && [ -w "$cache" ]; } 2>/dev/null; then
        export UV_CACHE_DIR=$DATA/cache
    fi
}

# One installation at a time. The lock belongs to file descriptor 9, so it ends with this process however that ends.
# (Python takes it because macOS has no flock command.)
lock() {
    exec 9>>"$DATA/lock"
    "$PY" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null </dev/null && return 0
    say "another installation is under way; waiting for it"
    "$PY" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' </dev/null
}

unlock() { exec 9>&-; }

# version_at_least 0.13.9 0.9.0
version_at_least() {
    "$PY" -c 'import re, sys; a, b = ([int(n) for n in re.findall(r"\d+", v)[:3]] for v in sys.argv[1:]); sys.exit(a < b)' "$1" "$2" </dev/null
}

find_or_fetch_uv() {
    local version
    if version=$(uv --version 2>/dev/null </dev/null) && version_at_least "$version" "$UV_OLDEST"; then
        UV=$(command -v uv)
        return 0
    fi
    UV=$DATA/tools/uv-$UV_VERSION/uv
    [ -x "$UV" ] || fetch_uv "$UV_VERSION" "$DATA/tools/uv-$UV_VERSION"
}

# fetch_uv VERSION FOLDER: takes uv's wheel from the package index; the table of SHA-256 below says what it must be.
fetch_uv() {
    "$PY" - "$@" <<'PYTHON' || exit 1
import base64, errno, hashlib, os, platform, re, shutil, ssl, stat, sys, tempfile, zipfile
from urllib import error, parse, request

version, folder = sys.argv[1:]
LINUX = "manylinux_2_17_%s.manylinux2014_%s"
WHEELS = {
    "Linux x86_64 glibc": (LINUX % ("x86_64", "x86_64"), "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19"),
    "Linux x86_64 musl": ("musllinux_1_1_x86_64", "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25"),
    "Linux aarch64": (LINUX % ("aarch64", "aarch64") + ".musllinux_1_1_aarch64", "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe"),
    "Linux armv7l": (LINUX % ("armv7l", "armv7l") + ".musllinux_1_1_armv7l", "7ec1e1dd9b6cb335c301afdf877989df384227313981850755a59561f75e4ab8"),
    "Linux riscv64": ("manylinux_2_31_riscv64.musllinux_1_1_riscv64", "6d5114bba238adddacb32fb11904f2b3ff4e988f8e9ff0d8d3b5e9822cf836b8"),
    "Darwin x86_64": ("macosx_10_12_x86_64", "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5"),
    "Darwin arm64": ("macosx_11_0_arm64", "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63"),
}


def fail(message, hint):
    sys.exit("join_pool: %s\n  -> %s" % (message, hint))


def this_platform():
    name = "%s %s" % (platform.system(), platform.machine())
    if name == "Linux x86_64":
        name += " glibc" if platform.libc_ver()[0] == "glibc" else " musl"
    return name


def open_url(url):
    """Opens url. Without certificates on the machine it goes on unverified: what comes must have the pinned SHA-256."""
    parts = parse.urlsplit(url)
    headers = {"User-Agent": "join_pool", "Accept": "application/vnd.pypi.simple.v1+html, text/html;q=0.9, */*;q=0.1"}
    if parts.username:
        secret = "%s:%s" % (parse.unquote(parts.username), parse.unquote(parts.password or ""))
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    wanted = request.Request(url, headers=headers)
    try:
        return request.urlopen(wanted, timeout=30)
    except error.URLError as problem:
        text = str(problem)
        if "CERTIFICATE_VERIFY_FAILED" not in text:
            raise
        if parts.username:
            fail("the certificate of %s cannot be verified" % parts.hostname, "sudo apt install ca-certificates   (or set SSL_CERT_FILE)")
        return request.urlopen(wanted, timeout=30, context=ssl._create_unverified_context())


def find_link(index, wheel):
    page = index.rstrip("/") + "/uv/"
    with open_url(page) as answer:
        text, base = answer.read(64 << 20).decode("utf-8", "replace"), answer.geturl()
    for link in re.findall(r"href\s*=\s*[\"']([^\"'#]+)", text):
        if parse.unquote(parse.urlsplit(link).path.rpartition("/")[2]) == wheel:
            return parse.urljoin(page if "@" in page else base, link.replace("&amp;", "&"))
    fail("the package index %s has no %s" % (parse.urlsplit(index).hostname, wheel), "set PIP_INDEX_URL to an index that has it, or install uv yourself")


def download(url, sha256, file):
    digest = hashlib.sha256()
    with open_url(url) as answer:
        while True:
            piece = answer.read(1 << 20)
            if not piece:
                break
            digest.update(piece)
            file.write(piece)
    if digest.hexdigest() != sha256:
        fail("the download of uv is damaged: its SHA-256 is not the expected one", "run this again; if it stays so, the package index is not to be trusted")
    file.flush()


def main():
    if this_platform() not in WHEELS:
        fail("no uv is known for %s" % this_platform(), "install uv yourself: https://docs.astral.sh/uv/")
    tag, sha256 = WHEELS[this_platform()]
    wheel = "uv-%s-py3-none-%s.whl" % (version, tag)
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or "https://pypi.org/simple"
    sys.stderr.write("fetching uv %s, which installs Python packages\n" % version)
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    new = tempfile.mkdtemp(dir=os.path.dirname(folder))
    try:
        with tempfile.TemporaryFile(dir=new) as file:
            download(find_link(index, wheel), sha256, file)
            with zipfile.ZipFile(file) as archive, archive.open("uv-%s.data/scripts/uv" % version) as source:
                with open(os.path.join(new, "uv"), "wb") as target:
                    shutil.copyfileobj(source, target)
                    os.fchmod(target.fileno(), 0o755)
        os.chmod(new, 0o755)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
except OSError as problem:
    if problem.errno == errno.ENOSPC:
        fail("the disk is full", "free some space, or set XDG_DATA_HOME to a folder on another disk")
    fail("uv cannot be fetched: %s" % (getattr(problem, "reason", None) or problem),
         "check the network (HTTPS_PROXY is respected), or set PIP_INDEX_URL to a package index that can be reached")
PYTHON
}

is_source() { [ -f "$1/pyproject.toml" ] && grep -q '^name = "frankenstein-mesh"' "$1/pyproject.toml"; }

# Sets SOURCE to a folder that holds the source, or leaves it empty when what is installed has to do.
locate_source() {
    local given=${MESH_SOURCE:-} here trouble=0
    SOURCE=
    if [ -z "$given" ] && [ -f "$SCRIPT" ]; then
        here=$(cd "$(dirname "$SCRIPT")" && pwd -P)
        if is_source "$here"; then
            SOURCE=$here
            return 0
        fi
    fi
    # Once installed, the same place serves again.
    if [ -z "$given" ] && [ -f "$DATA/source" ]; then
        given=$(cat "$DATA/source")
    fi
    [ -n "$given" ] ||
        fail "this is not a checkout, and MESH_SOURCE does not say where the source is" "MESH_SOURCE=<folder, .tar.gz or git address> bash ..."
    if [ -d "$given" ] && is_source "$given"; then
        SOURCE=$(cd "$given" && pwd -P)
    elif fetch_source "$given" || { trouble=$?; false; }; then
        SOURCE=$WORK/source
    elif [ "$trouble" = "$REFUSED" ] && { [ -n "${MESH_SOURCE:-}" ] || ! installed_works; }; then
        exit 1
    elif ! installed_works; then
        fail "the source cannot be fetched from $given" "check the address and the network; without certificates: sudo apt install ca-certificates"
    else
        say "the source cannot be fetched from $given: going on with the version that is installed"
    fi
    if [ -n "$SOURCE" ]; then
        is_source "$SOURCE" || fail "$given does not hold the source of frankenstein-mesh" "check MESH_SOURCE"
        printf '%s\n' "$given" >"$DATA/source"
    fi
}

fetch_source() {
    local address=${1#git+} branch=
    case $address in *'#'*) branch=${address##*#} address=${address%%#*} ;; esac
    case $address in
        *.tar.gz | *.tgz)
            fetch_archive "$address" "$branch"
            return
            ;;
        [Hh][Tt][Tt][Pp]://* | [Gg][Ii][Tt]://*)
            say "join_pool: refusing $address: whoever is on the way there could change what comes"
            say "  -> an address of https or ssh; or a .tar.gz, with #sha256= and its SHA-256 after it"
            return "$REFUSED"
            ;;
    esac
    if command -v git >/dev/null; then
        GIT_TERMINAL_PROMPT=0 git -c protocol.http.allow=never -c protocol.git.allow=never clone --quiet --depth 1 ${branch:+--branch "$branch"} -- "$address" "$WORK/source" </dev/null >&2
        return
    fi
    case $address in
        https://github.com/*) fetch_archive "${address%.git}/archive/${branch:-HEAD}.tar.gz" ;;
        *) fail "git is missing" "sudo apt install git   (or give MESH_SOURCE the address of a .tar.gz)" ;;
    esac
}

# fetch_archive ADDRESS [sha256=HEX]: downloads (or reads) a .tar.gz and unpacks it to $WORK/source, whatever its top
# folder is called.
fetch_archive() {
    "$PY" - "$1" "${2:-}" "$WORK" "$REFUSED" <<'PYTHON'
import hashlib, os, re, shutil, sys, tarfile
from urllib import parse, request

address, expected, work, refused = sys.argv[1:]
unpacked = os.path.join(work, "unpacked")


def refuse(what, hint):
    sys.stderr.write("join_pool: refusing %s\n  -> %s\n" % (what, hint))
    sys.exit(int(refused))


def check_way(url):
    if not expected and parse.urlsplit(url).scheme not in ("https", "file"):
        refuse("%s: whoever is on the way there could change what comes" % url,
               "an https address; or %s#sha256=HEX, with the SHA-256 of the archive from whom you trust" % sys.argv[1])


class CheckedRedirects(request.HTTPRedirectHandler):
    def redirect_request(self, asked, answer, code, message, headers, url):
        check_way(url)
        return super().redirect_request(asked, answer, code, message, headers, url)


def check_content(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    if expected and digest.hexdigest() != expected.lower().partition("=")[2]:
        refuse("%s: its SHA-256 is %s, not the expected one" % (sys.argv[1], digest.hexdigest()),
               "if another version is there now: MESH_SOURCE=ADDRESS#sha256=HEX, with its SHA-256 from whom you trust")


if expected and not re.match("(?i)sha256=[0-9a-f]{64}$", expected):
    refuse("%s#%s: after the address of an archive comes sha256= and 64 hexadecimal digits" % (address, expected),
           "sha256sum FILE prints them   (macOS: shasum -a 256 FILE)")
try:
    if "://" in address:
        check_way(address)
        opener = request.build_opener(CheckedRedirects)
        with opener.open(address, timeout=30) as answer, open(os.path.join(work, "source.tar.gz"), "wb") as file:
            shutil.copyfileobj(answer, file)
        address = file.name
    check_content(address)
    with tarfile.open(address) as archive:
        for member in archive.getmembers():
            path = os.path.normpath(os.path.join(unpacked, member.name))
            if not (member.isfile() or member.isdir()) or not (path + os.sep).startswith(unpacked + os.sep):
                if member.type in (tarfile.XGLTYPE, tarfile.XHDTYPE):
                    continue
                sys.exit("join_pool: refusing %s in the archive: neither a file nor a folder inside it" % member.name)
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            if sys.version_info >= (3, 12):
                archive.extract(member, unpacked, filter="data")
            else:
                archive.extract(member, unpacked)
except (OSError, tarfile.TarError, ValueError) as problem:
    sys.exit("join_pool: %s: %s" % (sys.argv[1], problem))
entries = os.listdir(unpacked) if os.path.isdir(unpacked) else []
if len(entries) == 1 and os.path.isdir(os.path.join(unpacked, entries[0])):
    unpacked = os.path.join(unpacked, entries[0])
os.rename(unpacked, os.path.join(work, "source"))
PYTHON
}

# What would be installed, as a digest: the same digest needs no new environment.
fingerprint() {
    "$PY" - "$SOURCE" <<'PYTHON'
import hashlib, os, sys

root, digest, paths = sys.argv[1], hashlib.sha256(), []
for top in ("mesh", "worker", "leader"):
    for folder, folders, files in os.walk(os.path.join(root, top)):
        folders[:] = [name for name in folders if name != "__pycache__"]
        paths += [os.path.join(folder, name) for name in files]
paths += [os.path.join(root, name) for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE")]
for path in sorted(paths):
    if os.path.isfile(path):
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).digest()
        digest.update(os.path.relpath(path, root).encode() + b"\0" + content)
print(digest.hexdigest()[:16])
PYTHON
}

# works FOLDER: an environment that was finished and whose Python is still there.
works() { [ -f "$1/.finished" ] && [ -x "$1/bin/mesh" ] && "$1/bin/python" -c '' 2>/dev/null </dev/null; }

installed_works() { works "$DATA/current"; }

check_space() {
    local free
    free=$("$PY" -c 'import shutil, sys; print(shutil.disk_usage(sys.argv[1]).free >> 20)' "$DATA" </dev/null)
    [ "$free" -ge "$NEEDED_MEGABYTES" ] ||
        fail "$DATA has $free MB free, and the installation needs $NEEDED_MEGABYTES MB" "free some space, or set XDG_DATA_HOME to a folder on another disk"
}

create_environment() {
    local folder=$1 python=$PY version
    version=$("$PY" -c 'import platform; print(platform.python_version())' </dev/null)
    # An older python3 than we need: uv looks for another one on the machine, or downloads one.
    version_at_least "$version" 3.11 || python='>=3.11,<3.15'
    UV_PYTHON_INSTALL_DIR=$DATA/python "$UV" venv --quiet --no-project --python "$python" "$folder" </dev/null >&2 ||
        fail "no environment could be made: Python 3.11 or newer is needed, and python3 here is $version" \
            "install a newer Python (uv's message above says why it could not be downloaded)"
}

# What uv can run into is said by uv itself, above our line.
uv_failed() {
    fail "$1 (uv's message is above)" "check the network and the space on the disk, then run this again: it goes on where it was. \
'invalid peer certificate': sudo apt install ca-certificates, or set SSL_CERT_FILE"
}

# Installs the versions of the lock file, each checked by its hash, then the source itself.
install_packages() {
    local folder=$1 requirements=$WORK/requirements.txt
    "$UV" export --quiet --project "$SOURCE" --frozen --no-dev --no-emit-project --python "$folder/bin/python" \
        --output-file "$requirements" </dev/null >/dev/null || uv_failed "the lock file cannot be read"
    "$UV" pip install --quiet --python "$folder/bin/python" --require-hashes -r "$requirements" </dev/null >&2 ||
        uv_failed "the packages could not be installed"
    # uv would take a wheel that it built of this folder before, although files in it have changed since.
    "$UV" pip install --quiet --python "$folder/bin/python" --no-deps --reinstall-package frankenstein-mesh "$SOURCE" </dev/null >&2 ||
        uv_failed "mesh itself could not be installed"
}

install() {
    local name
    [ -n "$SOURCE" ] || return 0
    name=env-$(fingerprint)
    if ! works "$DATA/$name"; then
        say "installing mesh in $DATA"
        find_or_fetch_uv
        check_space
        rm -rf "${DATA:?}/$name"
        create_environment "$DATA/$name"
        install_packages "$DATA/$name"
        : >"$DATA/$name/.finished"
    fi
    [ "$(readlink "$DATA/current" 2>/dev/null)" = "$name" ] && return 0
    ln -s "$name" "$WORK/current"
    "$PY" -c 'import os, sys; os.replace(*sys.argv[1:])' "$WORK/current" "$DATA/current" </dev/null
    remove_unused_environments "$name"
}

# A sidecar that runs from an older environment imports from it as it needs: that one stays until nothing uses it.
remove_unused_environments() {
    "$DATA/$1/bin/python" - "$DATA" "$1" <<'PYTHON' || say "older environments in $DATA could not be removed"
import os, pathlib, shutil, sys
import psutil

data, current = pathlib.Path(sys.argv[1]), sys.argv[2]
if psutil.LINUX and not os.access("/proc/1/stat", os.R_OK):
    sys.exit()  # this /proc hides processes, a sidecar too, which lets none but root look into it
running = "\n".join(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
for folder in data.glob("env-*"):
    if folder.name == current:
        continue
    if str(folder) in running:
        print("the mesh that is running goes on at its version until it is started again: mesh restart", file=sys.stderr)
    else:
        shutil.rmtree(folder, ignore_errors=True)
PYTHON
}

on_path() { case ":$PATH:" in *":$1:"*) return 0 ;; *) return 1 ;; esac; }

# Puts `mesh` into the first fitting folder that the PATH has; shell start-up files are left alone.
link_command() {
    local folder link target=$DATA/current/bin/mesh found=
    for folder in "$HOME/.local/bin" "$HOME/bin" /usr/local/bin; do
        if on_path "$folder" && [ -w "$folder" ]; then
            found=$folder
            break
        fi
    done
    [ -n "$found" ] || found=$HOME/.local/bin
    link=$found/mesh
    [ "$(readlink "$link" 2>/dev/null)" = "$target" ] && return 0
    case $(readlink "$link" 2>/dev/null) in
        */frankenstein-mesh/current/bin/mesh) ;;
        *)
            if [ -e "$link" ] || [ -L "$link" ]; then
                say "note: $link is something else and stays; the command is $target"
                return 0
            fi
            ;;
    esac
    if ! { mkdir -p "$found" && ln -sfn "$target" "$link"; } 2>/dev/null; then
        say "note: $found cannot be written to; the command is $target"
    elif ! on_path "$found"; then
        say "note: mesh is in $found, which is not on your PATH; add it: export PATH=\"$found:\$PATH\""
    fi
}

# A script that came through a pipe has used up standard input: a question to the person goes to the terminal.
run_mesh() {
    local piped=$1
    shift
    [ $# -gt 0 ] || set -- join
    if [ "$piped" = yes ] && (: </dev/tty) 2>/dev/null; then
        exec "$DATA/current/bin/mesh" "$@" </dev/tty
    fi
    exec "$DATA/current/bin/mesh" "$@"
}

main() {
    local piped=no
    [ -n "$SCRIPT" ] || piped=yes
    umask 077
    find_python
    use_index_and_certificates_of_pip
    make_data_folder
    lock
    if [ "${1:-}" = --bootstrap-uv ]; then
        find_or_fetch_uv
        printf '%s\n' "$UV"
        return 0
    fi
    WORK=$(mktemp -d "$DATA/work.XXXXXX") || fail "cannot write to $DATA" "is the disk full?"
    trap 'rm -rf "$WORK"' EXIT
    locate_source
    install
    rm -rf "$WORK"
    link_command
    unlock
    run_mesh "$piped" "$@"
}

# In braces, so that half of this line is no command either.
{ main "$@"; exit $?; }
