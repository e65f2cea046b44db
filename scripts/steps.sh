# Sourced by the other scripts: says what is being done and how long it took.

have() { command -v "$1" >/dev/null 2>&1; }

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $1"
  [ $# -lt 2 ] || say "remedy: $2"
  exit 1
}

# step "what happens" command…: its output is shown as it comes, its duration afterwards.
step() {
  local what=$1 began=$SECONDS status=0
  shift
  say "==> $what"
  "$@" || status=$?
  if [ "$status" -ne 0 ]; then
    say "==> $what: FAILED after $((SECONDS - began)) s (exit status $status)"
    return "$status"
  fi
  say "    done in $((SECONDS - began)) s"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif have sudo; then
    sudo -- "$@"
  else
    die "installing a system package needs root or sudo: $*" "run that line as root, then repeat"
  fi
}

# apt_install package…: from Debian's packages (or a system that is based on them).
apt_install() {
  have apt-get || die "this system has no apt-get to install $* with" \
    "install $* with your package manager, then repeat"
  as_root apt-get -qq update
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install --yes --no-install-recommends "$@" >/dev/null
}
