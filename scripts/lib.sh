# Shared by the scripts beside this file: what they need is installed once, and checked quickly after that.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
VENV=$ROOT/.venv
PY=$VENV/bin/python
JOBS=${JOBS:-$(nproc)}
export CXX=${CXX:-g++}  # the same name in each build: what ccache keeps goes by it

SYSTEM_PACKAGES=(g++ cmake ninja-build ccache git python3 python3-venv python3-dev
  libsqlite3-dev libsqlitecpp-dev libgtest-dev libgmock-dev)
LINT_PACKAGES=(clang-format clang-tidy)
BENCH_PACKAGES=(libbenchmark-dev)
FUZZ_PACKAGES=(clang libclang-rt-dev)

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

# step <what> <command...>: quiet when it works, the whole output when it does not.
step() {
  local what=$1 log begin
  shift
  log=$(mktemp)
  begin=$SECONDS
  if "$@" >"$log" 2>&1; then
    printf '  %-52s %4d s\n' "$what" $((SECONDS - begin)) >&2
    rm -f "$log"
  else
    local code=$?
    printf '  %-52s failed\n' "$what" >&2
    cat "$log" >&2
    rm -f "$log"
    return $code
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "These system packages are missing, and neither root nor sudo is at hand to install them: $*" >&2
    return 1
  fi
}

install_system_packages() {
  command -v dpkg-query >/dev/null || return 0 # another system: CMake says what it misses
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return 0
  step "system packages: index" as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
  step "system packages: ${#missing[@]} to install" \
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# The newest suitable interpreter that can make a virtual environment with headers.
find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 /usr/bin/python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv, ensurepip, sysconfig, pathlib
sys.exit(not (sys.version_info >= (3, 10) and pathlib.Path(sysconfig.get_path("include"), "Python.h").exists()))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "No Python 3.10 or later with its headers was found; set PYTHON=..." >&2
  return 1
}

# make_venv <group...>: .venv with these dependency groups of pyproject.toml. What is installed already stays, so that scripts that
# ask for different groups do not take turns at installing; a changed pyproject.toml installs anew.
make_venv() {
  local stamp="$VENV/.groups" python version group installed=() missing=()
  [ -x "$PY" ] && "$PY" -c '' 2>/dev/null || {
    python=$(find_python)
    step "virtual environment (.venv)" "$python" -m venv --clear "$VENV"
  }
  version=$(sha256sum pyproject.toml | cut -c1-16)
  if [ -f "$stamp" ]; then
    read -r -a installed <"$stamp" || true
    [ "${installed[0]:-}" = "$version" ] || installed=()
  fi
  for group in "$@"; do
    [[ " ${installed[*]:1} " == *" $group "* ]] || missing+=("$group")
  done
  [ ${#missing[@]} = 0 ] && return 0
  step "Python packages" "$PY" scripts/install_groups.py "${missing[@]}"
  echo "$version ${installed[*]:1} ${missing[*]}" >"$stamp"
}

# build_core <preset>: the C++ core with its tests.
build_core() {
  step "configure ($1)" cmake --preset "$1"
  step "build the core ($1)" cmake --build --preset "$1" -j "$JOBS" -- --quiet
}

# test_core <preset>: what ctest says at its end; when a test fails, that test's output too. A preset carries the sanitizers' options.
test_core() {
  local log code=0
  log=$(mktemp)
  ctest --preset "$1" -j "$JOBS" --no-tests=error >"$log" 2>&1 || code=$?
  if [ $code = 0 ]; then
    sed -n '/% tests passed/,$p' "$log"
  else
    grep -vE '^ +Start +[0-9]+:|^ *[0-9]+/[0-9]+ Test +#[0-9]+: .* Passed ' "$log" || true
  fi
  rm -f "$log"
  return $code
}

# The package in .venv as a user would have it: built from this checkout, in a folder that is kept, so that the next time only what
# changed is compiled.
install_package() {
  step "build and install the package" "$PY" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
    --force-reinstall -C build-dir=build/python -C cmake.define.COGWORK_WERROR="${COGWORK_WERROR:-OFF}" .
}

# test_package [pytest arguments]: all tests in two processes, every other file in each, as most of their time is waiting; what the second
# says comes after the first. With arguments: one process, as they say.
test_package() {
  [ $# = 0 ] || { "$PY" -m pytest "$@"; return; }
  local log code=0 file first=() second=()
  log=$(mktemp)
  while read -r file; do
    if [ ${#first[@]} -gt ${#second[@]} ]; then second+=("$file"); else first+=("$file"); fi
  done < <(find tests -name 'test_*.py' | sort)
  "$PY" -m pytest "${second[@]}" >"$log" 2>&1 &
  "$PY" -m pytest "${first[@]}" || code=$?
  wait $! || code=$?
  cat "$log"
  rm -f "$log"
  return $code
}

prepare() {
  say "Preparing (what is there already is kept)"
  install_system_packages "${SYSTEM_PACKAGES[@]}"
  make_venv build test
}
