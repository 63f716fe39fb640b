# Read-only helpers, put in front of every detect step. POSIX sh; nothing here may write anywhere.
# runbooks/README.md documents each function. Names start with ca_; scripts keep to their own names.

# ca_have COMMAND: is there such a command?
ca_have() { command -v "$1" >/dev/null 2>&1; }

# ca_fail MESSAGE: end the step; the check becomes an error (or the change a failure), never a pass.
ca_fail() { printf '%s\n' "$1" >&2; exit 1; }

# ca_fact NAME VALUE: report one fact, control characters made blanks.
ca_fact() { printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '[:cntrl:]' ' ')"; }

# ca_flag NAME COMMAND [ARGUMENT...]: report whether the command succeeds, as true or false.
ca_flag() {
  ca_flag_name=$1
  shift
  if "$@" >/dev/null 2>&1; then echo "$ca_flag_name=true"; else echo "$ca_flag_name=false"; fi
}

# ca_systemd: is systemd the init system?
ca_systemd() { [ -d /run/systemd/system ]; }

# ca_parent PID: print the parent's process id. The name in brackets may hold blanks and brackets.
ca_parent() {
  read -r ca_line 2>/dev/null <"/proc/$1/stat" || return 1
  ca_line=${ca_line##*) ? }
  echo "${ca_line%% *}"
}

# ca_processes NAME...: print the ids of the processes of these names. Processes of containers
# (a process id namespace of their own) are not this machine's, and the dead ones that nobody has
# waited for do not count. Ends the step when /proc hides the processes of others.
ca_processes() {
  [ -r /proc/1/comm ] || ca_fail 'the processes of other users are hidden from this login (hidepid)'
  for ca_dir in /proc/[0-9]*; do
    read -r ca_comm 2>/dev/null <"$ca_dir/comm" || continue
    for ca_name in "$@"; do
      [ "$ca_comm" = "$ca_name" ] || continue
      grep -Eq '^(State:[[:space:]]+[ZX]|NSpid:[[:space:]]+[0-9]+[[:space:]]+[0-9])' "$ca_dir/status" 2>/dev/null ||
        echo "${ca_dir#/proc/}"
    done
  done
}

# ca_running NAME...: print the first of these names that has a process; fails when none has.
ca_running() {
  for ca_wanted in "$@"; do
    if [ -n "$(ca_processes "$ca_wanted")" ]; then
      echo "$ca_wanted"
      return 0
    fi
  done
  return 1
}

# ca_ssh_connection: print SSH_CONNECTION of the SSH session in which this runs (sudo drops the
# variable, so the ancestors' environments are looked at too); fails when there is none.
ca_ssh_connection() {
  if [ -n "${SSH_CONNECTION:-}" ]; then
    echo "$SSH_CONNECTION"
    return 0
  fi
  ca_pid=$$
  while ca_pid=$(ca_parent "$ca_pid") && [ "$ca_pid" -gt 1 ]; do
    ca_found=$(tr '\0' '\n' 2>/dev/null <"/proc/$ca_pid/environ" | sed -n 's/^SSH_CONNECTION=//p')
    if [ -n "$ca_found" ]; then
      echo "$ca_found"
      return 0
    fi
  done
  return 1
}

# ca_service_state NAME: set ca_installed, ca_active, ca_enabled (true|false) of a system service,
# by systemd, OpenRC or the old init scripts.
ca_service_state() {
  ca_installed=false ca_active=false ca_enabled=false
  if ca_systemd; then
    case $(systemctl show -p LoadState --value -- "$1.service") in
      loaded | masked) ca_installed=true ;;
      '') ca_fail 'systemd did not answer' ;;
    esac
    if systemctl -q is-active -- "$1.service"; then ca_active=true; fi
    if systemctl -q is-enabled -- "$1.service" 2>/dev/null; then ca_enabled=true; fi
  elif [ -x "/etc/init.d/$1" ]; then
    ca_installed=true
    if ca_have rc-service; then
      if rc-service "$1" status >/dev/null 2>&1; then ca_active=true; fi
    elif "/etc/init.d/$1" status >/dev/null 2>&1; then
      ca_active=true
    fi
    for ca_link in /etc/rc[2345].d/S[0-9][0-9]"$1" /etc/runlevels/default/"$1" /etc/runlevels/boot/"$1"; do
      if [ -e "$ca_link" ]; then ca_enabled=true; fi
    done
  fi
}

# ca_sshd_find: set ca_sshd (program, empty if none), ca_sshd_pid (listening daemon, empty if none)
# and ca_sshd_args (its -f and -o arguments, one a line). The daemon that serves our own session
# wins, then the one of sshd.pid, then the first that is found.
ca_sshd_find() {
  ca_sshd='' ca_sshd_pid='' ca_sshd_args=''
  ca_daemons=' '
  for ca_pid in $(ca_processes sshd); do
    # What is no daemon serves one session: "sshd: alice [priv]", or "sshd -i".
    case $(tr '\0' ' ' 2>/dev/null <"/proc/$ca_pid/cmdline") in
      *'[listener]'*) ;;
      'sshd: '* | *' -i '* | '') continue ;;
    esac
    ca_daemons="$ca_daemons$ca_pid "
  done
  ca_pid=$$
  while [ -z "$ca_sshd_pid" ] && ca_pid=$(ca_parent "$ca_pid") && [ "$ca_pid" -gt 1 ]; do
    case $ca_daemons in *" $ca_pid "*) ca_sshd_pid=$ca_pid ;; esac
  done
  for ca_pid in $(cat /run/sshd.pid 2>/dev/null) $ca_daemons; do
    [ -z "$ca_sshd_pid" ] || break
    case $ca_daemons in *" $ca_pid "*) ca_sshd_pid=$ca_pid ;; esac
  done
  [ -z "$ca_sshd_pid" ] || ca_sshd_command
  if [ ! -x "$ca_sshd" ]; then
    ca_sshd=$(command -v sshd) || ca_sshd=''
  fi
}

# ca_sshd_command: read program and arguments off the daemon's command line, which reads either
# "/usr/sbin/sshd -D -f FILE" or "sshd: /usr/sbin/sshd -D -f FILE [listener] 0 of 10-100 startups".
ca_sshd_command() {
  set -f
  # shellcheck disable=SC2046 # split into words on purpose
  set -- $(tr '\0' ' ' <"/proc/$ca_sshd_pid/cmdline")
  set +f
  case ${1:-} in sshd:) shift ;; esac
  case ${1:-} in /*) ca_sshd=$1 ;; esac
  while [ $# -gt 1 ]; do
    shift
    case $1 in
      '[listener]') break ;;
      -f | -o)
        ca_sshd_args="$ca_sshd_args$1
${2:-}
"
        ;;
      -f* | -o*)
        ca_sshd_args="$ca_sshd_args$1
"
        ;;
    esac
  done
}

# ca_sshd_config: print the path of the configuration that the daemon reads.
ca_sshd_config() {
  printf '%s' "$ca_sshd_args" | awk '
    next_is_file { print; found = 1; exit }
    $0 == "-f" { next_is_file = 1; next }
    /^-f/ { print substr($0, 3); found = 1; exit }
    END { if (!found) print "/etc/ssh/sshd_config" }'
}

# ca_sshd_run ARGUMENT...: run sshd with the daemon's own -f and -o arguments put first.
ca_sshd_run() {
  ca_ifs=$IFS
  IFS='
'
  set -f
  # shellcheck disable=SC2086 # one argument a line
  set -- $ca_sshd_args "$@"
  set +f
  IFS=$ca_ifs
  "$ca_sshd" "$@"
}

# ca_sshd_effective OPTION: print the value that holds for root from this machine, as sshd -T says it.
ca_sshd_effective() {
  ca_dump=$(ca_sshd_run -T -C user=root,host=localhost,addr=127.0.0.1 2>&1) || {
    printf '%s\n' "$ca_dump" | tail -n 1 >&2
    return 1
  }
  printf '%s\n' "$ca_dump" | awk -v option="$1" '$1 == option { sub(/^[^ ]+ /, ""); print; exit }'
}
