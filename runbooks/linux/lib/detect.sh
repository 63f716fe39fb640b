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

# ca_text FILE: set ca_text to the first 2,000 bytes, empty when there is no such file.
ca_text() {
  ca_text=''
  [ -e "$1" ] || return 0
  [ -r "$1" ] || return 1
  ca_text=$(head -c 2000 -- "$1" | tr '\000' ' '; echo .)
  ca_text=${ca_text%.}
}

# ca_text_holds FILE TEXT: does the file hold this text? A line end is as good as a blank.
ca_text_holds() {
  [ -f "$1" ] || return 1
  ca_held=$(tr '[:cntrl:]' ' ' <"$1") || return 1
  case $ca_held in *"$(printf '%s' "$2" | tr '[:cntrl:]' ' ')"*) ;; *) return 1 ;; esac
}

# ca_systemd: is systemd the init system?
ca_systemd() { [ -d /run/systemd/system ]; }

# ca_parent PID: print the parent's process id. The name in brackets may hold blanks and brackets.
ca_parent() {
  read -r ca_line 2>/dev/null <"/proc/$1/stat" || return 1
  ca_line=${ca_line##*) ? }
  echo "${ca_line%% *}"
}

# ca_started PID: print when the process started, in clock ticks since the machine did.
ca_started() {
  read -r ca_line 2>/dev/null <"/proc/$1/stat" || return 1
  # After the name in brackets the first field is number 3 of proc(5); the start is number 22.
  printf '%s\n' "${ca_line##*) }" | cut -d ' ' -f 20
}

# ca_processes NAME...: print the ids of the daemons of these names. Anybody may name a process, so
# only those of system accounts count (real user id below 1000, or one that systemd lent a service).
# Processes of containers (a process id namespace of their own) are not this machine's, and the dead
# ones that nobody has waited for do not count. Ends the step when /proc hides the processes of others.
ca_processes() {
  [ -r /proc/1/comm ] || ca_fail 'the processes of other users are hidden from this login (hidepid)'
  for ca_dir in /proc/[0-9]*; do
    read -r ca_comm 2>/dev/null <"$ca_dir/comm" || continue
    for ca_name in "$@"; do
      [ "$ca_comm" = "$ca_name" ] || continue
      awk '
        $1 == "State:" && $2 ~ /^[ZX]/ || $1 == "NSpid:" && NF > 2 { no = 1 }
        $1 == "Uid:" { daemon = $2 < 1000 || $2 >= 61184 && $2 <= 65519 }
        END { exit no || !daemon }' "$ca_dir/status" 2>/dev/null && echo "${ca_dir#/proc/}"
    done
  done
}

# ca_running NAME...: print the first of these names that has a daemon; fails when none has.
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

# ca_ssh_since: print when the SSH connection in which this runs was made (see ca_started); fails when that
# cannot be told. It is the start of the eldest ancestor that serves it, which is called "sshd: alice [priv]".
ca_ssh_since() {
  ca_since='' ca_pid=$$
  while ca_pid=$(ca_parent "$ca_pid") && [ "$ca_pid" -gt 1 ]; do
    case $(tr '\0' ' ' 2>/dev/null <"/proc/$ca_pid/cmdline") in
      'sshd: '*'[listener]'*) break ;;
      'sshd: '* | 'sshd-session: '*) ca_since=$(ca_started "$ca_pid") || return 1 ;;
    esac
  done
  [ -n "$ca_since" ] && echo "$ca_since"
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

# ca_ufw_refusals: print how many rules that deny or reject ufw holds, whether or not it is switched on.
ca_ufw_refusals() {
  set --
  for ca_file in /etc/ufw/user.rules /etc/ufw/user6.rules /lib/ufw/user.rules /lib/ufw/user6.rules; do
    if [ -f "$ca_file" ]; then set -- "$@" "$ca_file"; fi
  done
  cat -- /dev/null "$@" | awk '/^### tuple ### (deny|reject)/ { n++ } END { print n + 0 }' ||
    ca_fail 'the rules of ufw cannot be read'
}

# ca_ssh_ports: print the ports of TCP by which people and this agent come in by SSH, one a line. Wants root.
ca_ssh_ports() {
  ca_ports=''
  if ca_connection=$(ca_ssh_connection); then ca_ports=${ca_connection##* }; fi
  ca_sshd_find
  if [ -n "$ca_sshd" ]; then
    # A ListenAddress may name a port of its own.
    ca_ports="$ca_ports $(ca_sshd_run -T 2>/dev/null | awk '$1 == "port" || $1 == "listenaddress" { sub(/.*[: ]/, ""); print }')"
    if [ -z "$(printf '%s' "$ca_ports" | tr -d '[:space:]')" ]; then ca_ports=22; fi
  fi
  printf '%s' "$ca_ports" | tr -s '[:space:]' '\n' | awk '/^[0-9]+$/' | sort -un
}

# ca_served: print what listens here for others, but for SSH and for what ufw holds a rule to allow: "tcp 5432", one
# a line. Not what listens on the loopback alone, nor ports of UDP that clients use (high ones, DHCP, mDNS). Wants root.
ca_served() {
  ca_ours=$(ca_ssh_ports) || return 1
  for ca_file in tcp tcp6 udp udp6; do
    [ -r "/proc/net/$ca_file" ] || continue
    sed "s/^/${ca_file%6} /" "/proc/net/$ca_file" || return 1
  done | ours=$(printf '%s' "$ca_ours" | tr '\n' ' ') awk '
    function number(hex, i, total) {
      for (i = 1; i <= length(hex); i++) total = total * 16 + index("0123456789ABCDEF", substr(hex, i, 1)) - 1
      return total
    }
    function allows(ports, port, part, range, count, i) {
      count = split(ports, part, ",")
      for (i = 1; i <= count; i++) {
        if (part[i] == "any" || part[i] == port) return 1
        if (split(part[i], range, ":") == 2 && port >= range[1] + 0 && port <= range[2] + 0) return 1
      }
      return 0
    }
    BEGIN {
      count = split(ENVIRON["ours"], port, " ")
      for (i = 1; i <= count; i++) ssh[port[i]] = 1
      # "### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in": whoever it lets in, somebody has decided.
      while ((getline line <"/etc/ufw/user.rules") > 0)
        if (line ~ /^### tuple ### (allow|limit)/) { split(line, word, " "); kind[++rules] = word[5]; to[rules] = word[6] }
    }
    $1 == "tcp" && $5 != "0A" || $1 == "udp" && $5 != "07" || $3 !~ /:/ { next }
    {
      split($3, local, ":")
      # Four bytes each, in the order of this machine: 127.0.0.0/8, ::1, and the first within IPv6.
      if (local[1] ~ /^(0000000000000000FFFF0000)?......7F$/ || local[1] == "00000000000000000000000001000000") next
      at = number(local[2])
      if ($1 == "tcp" && at in ssh || $1 == "udp" && (at >= 32768 || at == 68 || at == 546 || at == 5353)) next
      for (i = 1; i <= rules; i++) if ((kind[i] == $1 || kind[i] == "any") && allows(to[i], at)) next
      if (!seen[$1, at]++) print $1, at
    }'
}

# ca_forwards_for: print what this machine may pass packets on for, a reason a line: programs that run or are
# installed (containers, virtual machines, tunnels, routing), interfaces, rules of the firewall. Wants root.
ca_forwards_for() {
  # Names are of 15 characters at most, as the kernel cuts them.
  ca_found=$(ca_processes dockerd containerd podman crio kubelet k3s-server lxd incusd libvirtd virtqemud virtnetworkd \
    openvpn charon charon-systemd tailscaled zerotier-one nebula xl2tpd pppd ocserv zebra bird bgpd ospfd babeld \
    keepalived radvd hostapd dnsmasq connmand) || exit 1
  for ca_pid in $ca_found; do
    if read -r ca_comm 2>/dev/null <"/proc/$ca_pid/comm"; then echo "program $ca_comm"; fi
  done | sort -u
  for ca_name in dockerd podman containerd crio kubelet lxd incusd libvirtd virtqemud openvpn wg-quick tailscaled ipsec swanctl birdc vtysh; do
    if ca_have "$ca_name"; then echo "installed $ca_name"; fi
  done
  for ca_dir in /sys/class/net/*; do
    [ -e "$ca_dir/uevent" ] || continue
    ca_kind=$(sed -n 's/^DEVTYPE=//p' "$ca_dir/uevent")
    if [ -e "$ca_dir/tun_flags" ]; then ca_kind=tun; fi
    case $ca_kind in wireguard | tun | bridge | vxlan | geneve | ppp | gretap) echo "interface ${ca_dir##*/} ($ca_kind)" ;; esac
  done
  if ca_have nft && nft list ruleset 2>/dev/null | awk '
    $1 == "chain" { inside = 0 }
    $1 == "type" && / hook forward / { inside = 1; next }
    # Replies, and what firewalld lets by on every machine, are no reason.
    inside && /ct state ([{] )?(established|related)|ct status dnat|iifname "lo"/ { next }
    inside && /(^|[ \t])accept( |$)/ || /masquerade|[ \t][ds]nat / { found = 1 }
    END { exit !found }'; then echo 'firewall nft'; fi
  for ca_name in iptables-save iptables-legacy-save ip6tables-save ip6tables-legacy-save; do
    ca_have "$ca_name" || continue
    case $ca_name in ip6*) ca_file=/proc/net/ip6_tables_names ;; *) ca_file=/proc/net/ip_tables_names ;; esac
    # The old kind would load a kernel module when asked; without its tables it has no rules.
    case $("$ca_name" -V) in *nf_tables*) ;; *) [ -s "$ca_file" ] || continue ;; esac
    if "$ca_name" 2>/dev/null | grep -Ev -e 'ESTABLISHED -j' -e '-i lo ' |
      grep -Eq -e '^-A (FORWARD|ufw6?-user-forward) .*-j ACCEPT' -e '-j (MASQUERADE|SNAT|DNAT)'; then echo "firewall $ca_name"; fi
  done
}

# ca_sshd_find: set ca_sshd (program, empty if none), ca_sshd_pid (listening daemon, empty if none)
# and ca_sshd_args (its -f and -o arguments, one a line). The daemon that serves our own session
# wins, then the one that $CA_SSHD_PID names (a dead man's timer has no session), then the one of sshd.pid,
# then the first that is found.
ca_sshd_find() {
  ca_sshd='' ca_sshd_pid='' ca_sshd_args=''
  ca_daemons=' '
  for ca_pid in $(ca_processes sshd); do
    ca_sshd_program "$ca_pid" >/dev/null || continue
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
  for ca_pid in ${CA_SSHD_PID:-} $(cat /run/sshd.pid 2>/dev/null) $ca_daemons; do
    [ -z "$ca_sshd_pid" ] || break
    case $ca_daemons in *" $ca_pid "*) ca_sshd_pid=$ca_pid ;; esac
  done
  # As the machine boots no daemon tells them; the timer kept them.
  if [ -n "$ca_sshd_pid" ]; then ca_sshd_command; else ca_sshd_args=${CA_SSHD_ARGS:-}; fi
  if [ ! -x "$ca_sshd" ]; then
    ca_sshd=$(command -v sshd) || ca_sshd=''
  fi
}

# ca_sshd_program PID: print the program that this process runs; fails unless it is all root's, and the
# program is called sshd, is root's and lies in a folder where nobody else writes. What a process calls
# itself, and its command line, are anybody's to choose: we may run that program as root.
ca_sshd_program() {
  grep -Eq '^Uid:([[:space:]]+0){4}$' "/proc/$1/status" 2>/dev/null || return 1
  ca_exe=$(readlink "/proc/$1/exe" 2>/dev/null) || return 1
  ca_exe=${ca_exe% (deleted)} # it was upgraded since; what lies there now is its successor
  case $ca_exe in /*/sshd) ;; *) return 1 ;; esac
  ca_roots_own "${ca_exe%/*}" || return 1
  [ ! -e "$ca_exe" ] || ca_roots_own "$ca_exe" || return 1
  echo "$ca_exe"
}

# ca_roots_own FILE: does it, or what it points to, belong to root, with nobody else to write it? A folder may be open
# to a group of daemons, such as Ubuntu's /var/log.
ca_roots_own() {
  ca_owned=$(stat -L -c '%u %g %a' -- "$1" 2>/dev/null) || return 1
  case $ca_owned in
    '0 '*[2367]) return 1 ;; # writable by others
    '0 '*[2367][0-7]) ;;
    '0 '*) return 0 ;; # the bits of the group bound what an access list gives
    *) return 1 ;;
  esac
  case $(ls -Lld -- "$1") in ??????????+*) return 1 ;; esac # an access list: for whom, the bits do not tell
  ca_owned=${ca_owned#0 }
  [ -d "$1" ] || [ "${ca_owned% *}" = 0 ] || return 1
  ca_daemons_group "${ca_owned% *}"
}

# ca_daemons_group ID: is this a group of the system (id below 1000), and no ordinary account in it?
ca_daemons_group() {
  [ "$1" -lt 1000 ] || return 1
  # getent asks a directory too; a group that nobody knows may be anybody's.
  ca_members=$(if ca_have getent; then getent group "$1"; else awk -F: -v id="$1" '$3 == id' /etc/group; fi)
  [ -n "$ca_members" ] || return 1
  { if ca_have getent; then getent passwd; else cat /etc/passwd; fi; } | id=$1 members=${ca_members##*:} awk -F: '
    BEGIN { count = split(ENVIRON["members"], member, ","); for (i = 1; i <= count; i++) inside[member[i]] = 1 }
    $3 < 1000 { delete inside[$1]; next }
    $4 == ENVIRON["id"] { found = 1 }
    END { for (name in inside) found = 1; exit found }'
}

# ca_roots_path FILE: do all folders above it belong to root, with nobody else to write them? Else somebody
# could put another file, or a link, in its place while we work.
ca_roots_path() {
  ca_above=${1%/*}
  while [ -n "$ca_above" ]; do
    ca_roots_own "$ca_above" || return 1
    ca_above=${ca_above%/*}
  done
  ca_roots_own /
}

# ca_sshd_command: take the program from what runs, and the arguments off the daemon's command line,
# which reads "/usr/sbin/sshd -D -f FILE" or "sshd: /usr/sbin/sshd -D -f FILE [listener] 0 of 10-100 startups".
ca_sshd_command() {
  ca_sshd=$(ca_sshd_program "$ca_sshd_pid") || ca_fail 'the SSH server ended while it was looked at'
  set -f
  # shellcheck disable=SC2046 # split into words on purpose
  set -- $(tr '\0' ' ' <"/proc/$ca_sshd_pid/cmdline")
  set +f
  case ${1:-} in sshd:) shift ;; esac
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
  ca_config=$(ca_sshd_config)
  case $ca_config in /*) ;; *) ca_fail "the SSH server was started with a relative path: $ca_config" ;; esac
  # The usual file is the business of LIN-PERM-002, which mends it; any other place must be above doubt.
  [ "$ca_config" = /etc/ssh/sshd_config ] || [ ! -e "$ca_config" ] || ca_roots_own "$ca_config" ||
    ca_fail "others than root may write $ca_config, which the SSH server reads"
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

# ca_sshd_effective OPTION: print the value that holds where no Match block says otherwise, as sshd -T
# says it. Versions that want a connection, once there is a Match, get one that no block should mean.
ca_sshd_effective() {
  ca_dump=$(ca_sshd_run -T 2>&1) ||
    ca_dump=$(ca_sshd_run -T -C user=ca-nobody,host=ca.invalid,addr=192.0.2.1,laddr=192.0.2.2,lport=65535 2>&1) || {
    printf '%s\n' "$ca_dump" | tail -n 1 >&2
    return 1
  }
  printf '%s\n' "$ca_dump" | awk -v option="$1" '$1 == option { sub(/^[^ ]+ /, ""); print; exit }'
}
