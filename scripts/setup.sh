#!/usr/bin/env bash
# Leaves a virtual environment with Likeness and its tested dependencies in $VENV (.venv).
# Does nothing when that is so already: a stamp records what was installed from what.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh

venv=${VENV:-.venv}
extras=${EXTRAS:-cpu,clusters,server,remote,tracing,milvus,dev,demo}

usable() { # a Python that can make a virtual environment for us
  have "$1" && "$1" - <<'PY' >/dev/null 2>&1
import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 11))
PY
}

recent() { have "$1" && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$1" "$candidate"; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

if [ -n "${LIKENESS_SKIP_SETUP:-}" ]; then
  say "==> environment: using $venv as it is (LIKENESS_SKIP_SETUP is set)"
  exit 0
fi

stamp_of() { # what the environment depends on; its place too, since scripts in it name it
  { cat pyproject.toml constraints.txt scripts/setup.sh; echo "$extras $PWD $venv"; } |
    sha256sum | cut -c1-32
}

stamp="$venv/.installed"
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(stamp_of)" ]; then
  say "==> environment: up to date ($venv)"
  exit 0
fi

if [ -x "$venv/bin/python" ]; then
  say "==> environment: what it is made from has changed; bringing $venv up to date"
else
  say "==> environment: first run; this downloads up to 3 GB (PyTorch with its GPU libraries)" \
    "and takes a few minutes"
  if ! python=$(find_python usable); then
    if python=$(find_python recent); then
      step "install python3-venv ($python has no ensurepip)" apt_install python3-venv
    else
      step "install python3 and python3-venv" apt_install python3 python3-venv
    fi
    python=$(find_python usable) || die "no Python >= 3.11 that can make virtual environments" \
      "install one (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path"
  fi
  step "make $venv with $python ($("$python" --version))" "$python" -m venv "$venv"
fi

progress=(--quiet)
[ ! -t 2 ] || progress=()
step "install Likeness [$extras] and its dependencies, in the tested versions" \
  "$venv/bin/python" -m pip install --disable-pip-version-check "${progress[@]}" \
  --constraint constraints.txt --editable ".[$extras]"
stamp_of >"$stamp"
