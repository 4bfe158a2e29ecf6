# Functions of samples/first_run.sh and tests/run.sh: system packages, a Python, a virtual environment.
# Both read this file with ".". Plain POSIX sh. The caller must set $root to the folder of the project.

say() { printf '\n== %s\n' "$*"; }

fail() {
    printf '\n%s\n' "$*" >&2
    exit 1
}

# Run a command as root, with sudo if necessary. Without a terminal sudo must not ask for a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Install the given Debian packages that are missing.
need_packages() {
    command -v apt-get >/dev/null 2>&1 || {
        echo "apt-get not found. If something is missing, install the equivalents of these Debian packages: $*"
        return 0
    }
    missing=
    for package in "$@"; do
        is_installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "Installing system packages:$missing"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null 2>&1 ||
        fail "Please run this once as root, then start again:  apt-get install$missing"
    # A fresh container has no package lists. If updating them fails, the existing lists may suffice.
    as_root apt-get -q -q update || echo "Could not update the package lists; using the existing ones."
    # shellcheck disable=SC2086  # one word per package
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -q -y --no-install-recommends \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 install $missing >/dev/null ||
        fail "apt-get could not install:$missing. Check the network, then run:  apt-get install$missing"
}

works() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1
}

# Print the first Python that is new enough and can create virtual environments. $PYTHON, if set, is the only one tried.
find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8}; do
        if works "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# Set $python. Debian's Python comes without venv and without the headers that PyAudio needs to compile.
choose_python() {
    python=$(find_python) || {
        [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not Python 3.8 or later with venv and ensurepip."
        need_packages python3 python3-venv
        python=$(find_python) || fail "Python 3.8 or later with venv not found. Set PYTHON=/path/to/python."
    }
    headers='import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))'
    "$python" -c "$headers" || need_packages "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-dev"
    "$python" -c "$headers" || fail "$python has no C headers (Python.h), which PyAudio needs to compile."
}

# make_environment FOLDER EXTRAS: create a virtual environment with this package. Fast if nothing has changed.
make_environment() {
    # The version includes the folder, because an environment that was moved or copied does not work.
    version="$("$python" -c 'import sys; print(sys.version, sys.prefix)') $1"
    wanted=$(cat "$root/setup.cfg" "$root/pyproject.toml" "$root/slng_sync/_version.py" | cksum; echo "$2 $version")
    [ "$(cat "$1/installed" 2>/dev/null)" = "$wanted" ] && return 0
    say "Installing slng-sync[$2] with Python ${version%% *} into $1"
    rm -f "$1/installed"
    [ "$(cat "$1/python-version" 2>/dev/null)" = "$version" ] || rm -rf "$1"
    [ -d "$1" ] || "$python" -m venv "$1" || fail "Could not create a virtual environment in $1."
    echo "$version" >"$1/python-version"
    # Prefer wheels to newer sources: pocketsphinx takes half a minute to compile.
    "$1/bin/python" -m pip install -q --disable-pip-version-check --prefer-binary -e "$root[$2]" ||
        fail "pip could not install slng-sync[$2]: see above. Fix the cause and run this again."
    echo "$wanted" >"$1/installed"
}
