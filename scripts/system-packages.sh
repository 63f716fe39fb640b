#!/bin/sh
# Makes sure that commands which the tests need are on this machine.
# Usage: scripts/system-packages.sh COMMAND...    (or PACKAGE names that begin with "python3")
#
# Root on Debian, Ubuntu or a Fedora-like system: installs what is missing, and only then asks the
# package lists. Anybody else: says exactly what to install, and how. Installing openssh-server here
# neither starts nor enables a server on this machine.
set -eu
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

if command -v apt-get >/dev/null; then manager=apt-get
elif command -v dnf >/dev/null; then manager=dnf
else manager=
fi

package_of() { # COMMAND -> the package that brings it
  case "$manager:$1" in
    *:sshd) echo openssh-server ;;
    dnf:ssh | dnf:ssh-keygen) echo openssh-clients ;;
    *:ssh | *:ssh-keygen) echo openssh-client ;;
    *:unshare | *:nsenter | *:setpriv) echo util-linux ;;
    dnf:ip) echo iproute ;;
    *:ip) echo iproute2 ;;
    *:modprobe) echo kmod ;;
    dnf:ps) echo procps-ng ;;
    *:ps) echo procps ;;
    apt-get:nix-instantiate) echo nix-bin ;;
    *) echo "$1" ;;
  esac
}

absent() {
  case "$1" in
    python3*) ! dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed ;;
    *) ! command -v "$1" >/dev/null ;;
  esac
}

# Debian asks this file before a package may start its service; 101 means no. One that a killed run
# left behind is ours to remove; one that the machine has is left alone.
mark="# made by compliance-agent's set-up, for the time of one installation"
if [ "$(id -u)" = 0 ] && grep -qsxF "$mark" /usr/sbin/policy-rc.d; then rm -f /usr/sbin/policy-rc.d; fi

missing=
packages=
for command in "$@"; do
  absent "$command" || continue
  # Elsewhere Nix comes by its own installer, not as a package; its tests then say that they did not run.
  [ "$command" != nix-instantiate ] || [ "$manager" = apt-get ] || continue
  missing="$missing $command"
  packages="$packages $(package_of "$command")"
done
[ -n "$missing" ] || exit 0
# shellcheck disable=SC2086 # several words on purpose, here and below
packages=$(printf '%s\n' $packages | sort -u | tr '\n' ' ')
packages=${packages% }

if [ -z "$manager" ]; then
  echo "set-up: missing:$missing. Install them with this system's package manager, then try again." >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  update=
  [ "$manager" = dnf ] || update="apt-get update && "
  echo "set-up: missing:$missing. As root: $update$manager install -y $packages" >&2
  exit 1
fi

log=$(mktemp)
policy=
finish() {
  rm -f "$log"
  [ -z "$policy" ] || rm -f "$policy"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "$manager" = apt-get ] && [ ! -e /usr/sbin/policy-rc.d ]; then
  policy=/usr/sbin/policy-rc.d
  printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$policy"
  chmod 755 "$policy"
fi

# shellcheck disable=SC2086
install() {
  if [ "$manager" = dnf ]; then
    dnf install -y -q $packages
    return
  fi
  export DEBIAN_FRONTEND=noninteractive
  # An earlier run may have been killed half-way; this mends its half-installed packages first.
  dpkg --configure -a
  apt-get -o DPkg::Lock::Timeout=120 update
  apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends $packages
}

echo "set-up: system packages: $packages"
if ! install >"$log" 2>&1 </dev/null; then
  cat "$log" >&2
  echo "set-up: $manager could not install: $packages (its own words stand above)" >&2
  exit 1
fi
case " $packages " in
  *" openssh-server "*)
    if [ -n "$policy" ] && command -v systemctl >/dev/null; then
      systemctl --quiet disable ssh.service ssh.socket >/dev/null 2>&1 || true
    fi
    ;;
esac
