# Sourced by the scripts that install what they need: Debian's packages, where a program is missing.

missing=()

# need PROGRAM PACKAGE...
need() {
  command -v "$1" >/dev/null || missing+=("${@:2}")
}

install_missing() {
  if [ ${#missing[@]} -gt 0 ]; then
    apt-get update -q >&2
    apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
  fi
}

# what Wharf is built with
need cc gcc libc6-dev
need make make
