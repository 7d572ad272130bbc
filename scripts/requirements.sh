#!/bin/sh
# Looks whether this machine can build oxmox, and says what is missing together with the command that installs it.
# Changes nothing. (What real nodes need besides is checked by `oxmox demo prepare`.)
set -u

RUST=1.95
missing=0

say() {
	printf '%s\n' "$*" >&2
}

lacks() { # what, the command that helps
	say "missing: $1"
	say "  install it: $2"
	missing=1
}

# Whether version $1 is at least $2, for two-part versions.
at_least() {
	[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

rustup="curl --proto '=https' -sSf https://sh.rustup.rs | sh"
if ! command -v cargo >/dev/null 2>&1 || ! command -v rustc >/dev/null 2>&1; then
	lacks "cargo and rustc, $RUST or newer" "$rustup"
else
	have=$(rustc --version | awk '{ print $2 }')
	at_least "$have" "$RUST" || lacks "rustc $RUST or newer (here: $have)" "rustup update stable"
fi
command -v cc >/dev/null 2>&1 || lacks "a C compiler (cc)" "sudo apt-get install --no-install-recommends gcc libc6-dev"
command -v python3 >/dev/null 2>&1 || lacks "python3" "sudo apt-get install --no-install-recommends python3 python3-venv"
# Go is not checked: where it is missing or too old, the builder of the tools fetches one into the cache.

[ "$missing" = 0 ] || exit 1
