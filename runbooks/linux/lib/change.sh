# Helpers that change files and can undo it, put after detect.sh in front of every remediate and
# rollback step. runbooks/README.md documents each function. What was there before is kept below
# CA_UNDO_ROOT (default /var/lib/compliance-agent/undo) in one directory for each attempt.

: "${CA_UNDO_ROOT:=/var/lib/compliance-agent/undo}"
ca_undo_keep=50 # newest attempts whose copies are kept

# ca_undo_dir: set ca_undo to this attempt's directory.
ca_undo_dir() {
  case ${CA_ATTEMPT:-} in
    '' | .* | *[!A-Za-z0-9._-]*) ca_fail 'the attempt id is missing or unsafe' ;;
  esac
  [ "${#CA_ATTEMPT}" -le 128 ] || ca_fail 'the attempt id is too long'
  ca_undo=$CA_UNDO_ROOT/$CA_ATTEMPT
}

# ca_undo_open: make this attempt's directory, and drop the oldest attempts' copies.
ca_undo_open() {
  ca_undo_dir
  [ ! -d "$ca_undo" ] || return 0
  mkdir -p "$CA_UNDO_ROOT" && chmod 0700 "$CA_UNDO_ROOT" && mkdir -m 0700 "$ca_undo" &&
    : >"$ca_undo/manifest" || ca_fail "cannot make $ca_undo"
  # Attempt ids have no blanks (ca_undo_dir), so a list of names is safe here.
  # shellcheck disable=SC2012
  ls -1t "$CA_UNDO_ROOT" | tail -n "+$((ca_undo_keep + 1))" | while read -r ca_old; do
    case $ca_old in .* | *[!A-Za-z0-9._-]*) continue ;; esac
    rm -rf "${CA_UNDO_ROOT:?}/$ca_old"
  done
}

# ca_sync FILE: put a file on the disk.
ca_sync() { sync "$1" 2>/dev/null || sync; }

# ca_plain PATH: refuse what is not an absolute, plain path, or is a symbolic link.
ca_plain() {
  case $1 in
    *'
'* | */../* | */.. | *'	'*) ca_fail "unsafe path: $1" ;;
    /*) ;;
    *) ca_fail "not an absolute path: $1" ;;
  esac
  [ ! -L "$1" ] || ca_fail "$1 is a symbolic link; it is left alone"
}

# ca_path FILE: refuse what is not a plain path, or is a symbolic link, directory or device, or has a second
# name (a hard link), which a new file in its place would part from it.
ca_path() {
  ca_plain "$1"
  [ ! -e "$1" ] || [ -f "$1" ] || ca_fail "$1 is no regular file; it is left alone"
  [ ! -e "$1" ] || [ "$(stat -c %h -- "$1")" = 1 ] || ca_fail "$1 has other names (hard links); it is left alone"
}

# ca_copy_whole FROM TO: copy with mode, owner and times, and with access lists and other extended
# attributes where cp knows them.
ca_copy_whole() { cp --preserve=all -- "$1" "$2" 2>/dev/null || cp -p -- "$1" "$2"; }

# ca_same_end FILE TEXT: print the text, less its last line end where the file has none either (awk adds one).
ca_same_end() {
  if [ -n "$(tail -c 1 -- "$1" | tr '\000' x)" ]; then
    printf '%s' "${2%
}"
  else
    printf '%s' "$2"
  fi
}

# ca_note KIND DETAIL TARGET: add a line to the manifest; once for each kind and target, but for "left".
ca_note() {
  ca_undo_open
  if [ "$1" != left ] && ca_noted "$1" "$3" >/dev/null; then return 0; fi
  printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$ca_undo/manifest" && ca_sync "$ca_undo/manifest" ||
    ca_fail "cannot write $ca_undo/manifest"
}

# ca_noted KIND TARGET: print what was noted last; fails when nothing was.
ca_noted() {
  ca_undo_dir
  [ -f "$ca_undo/manifest" ] || return 1
  ca_kind=$1 ca_target=$2 awk -F '\t' '
    $1 == ENVIRON["ca_kind"] && $3 == ENVIRON["ca_target"] { last = $2; found = 1 }
    END { if (!found) exit 1; print last }' "$ca_undo/manifest"
}

# ca_save FILE: keep the file as it is (content, mode, owner, times, access list), or that there is none. The
# first call of an attempt counts: later ones change nothing.
ca_save() {
  ca_path "$1"
  ca_undo_open
  if ca_noted file "$1" >/dev/null || ca_noted absent "$1" >/dev/null; then return 0; fi
  if [ ! -e "$1" ]; then
    ca_note absent - "$1"
    return 0
  fi
  ca_copy=$(wc -l <"$ca_undo/manifest")
  ca_copy=$((ca_copy + 1))
  ca_copy_whole "$1" "$ca_undo/$ca_copy" && ca_sync "$ca_undo/$ca_copy" || ca_fail "cannot keep a copy of $1"
  ca_note file "$ca_copy" "$1"
}

# ca_sum FILE: print a checksum of the content, "absent" when there is none.
ca_sum() {
  if [ -e "$1" ]; then sha256sum <"$1" | cut -d ' ' -f 1; else echo absent; fi
}

# ca_left FILE: note how we leave a file, so that undo does not overwrite what others write later.
ca_left() {
  ca_digest=$(ca_sum "$1") && ca_note left "$ca_digest" "$1"
}

# ca_unchanged FILE: is the file as this attempt left it (or did the attempt not say)?
ca_unchanged() {
  ca_digest=$(ca_noted left "$1") || return 0
  [ "$ca_digest" = "$(ca_sum "$1")" ]
}

# ca_kept_copy FILE: print the path of the copy that ca_save made; fails when there is none.
ca_kept_copy() {
  ca_undo_dir
  ca_kept=$(ca_noted file "$1") && echo "$ca_undo/$ca_kept"
}

# ca_save_mode PATH: keep mode and owner only, of a folder, or of a file whose content must not travel back in time.
ca_save_mode() {
  ca_plain "$1"
  [ -d "$1" ] || ca_path "$1"
  ca_was=$(stat -c '%a %u:%g' -- "$1") || ca_fail "cannot read the mode of $1"
  ca_note mode "$ca_was" "$1"
}

# ca_mkdir DIR MODE: make one directory if there is none, and remember that we did.
ca_mkdir() {
  [ ! -d "$1" ] || return 0
  ca_note directory - "$1"
  mkdir -m "$2" -- "$1" || ca_fail "cannot make $1"
}

# ca_temporary FILE: print the name of a file to write, in a new folder beside FILE that is closed to
# others: with the modes of the old file they could otherwise open it before it has its own.
ca_temporary() {
  ca_folder=$(mktemp -d "${1%/*}/.compliance-agent.XXXXXX") || ca_fail "cannot make a folder beside $1"
  echo "$ca_folder/new"
}

# ca_discard FILE: remove what ca_temporary made.
ca_discard() { rm -f -- "$1" && rmdir -- "${1%/*}"; }

# ca_label FILE: give a file its SELinux label, where there are any.
ca_label() { if ca_have restorecon; then restorecon -- "$1" 2>/dev/null || :; fi; }

# ca_put FILE MODE [OWNER:GROUP]: replace the file by standard input in one move, after ca_save. An access
# list and other extended attributes stay.
ca_put() {
  ca_save "$1"
  ca_new=$(ca_temporary "$1") || exit 1
  if [ -e "$1" ]; then ca_copy_whole "$1" "$ca_new" || :; fi
  if cat >"$ca_new" && chown "${3:-0:0}" "$ca_new" && chmod "$2" "$ca_new" && ca_sync "$ca_new" &&
    mv -f -- "$ca_new" "$1"; then
    ca_discard "$ca_new"
    ca_label "$1"
    ca_left "$1"
    return 0
  fi
  ca_discard "$ca_new"
  ca_fail "cannot write $1"
}

# ca_restore_one FILE: bring one file back to what ca_save or ca_save_mode kept. Ends the step when
# somebody has changed the file since. A file that this attempt did not keep is left alone.
ca_restore_one() {
  ca_undo_dir
  ca_plain "$1"
  [ -d "$1" ] || ca_path "$1"
  if ca_kept=$(ca_noted file "$1"); then
    if cmp -s -- "$ca_undo/$ca_kept" "$1" &&
      [ "$(stat -c '%a %u:%g %Y' -- "$ca_undo/$ca_kept")" = "$(stat -c '%a %u:%g %Y' -- "$1")" ]; then return 0; fi
    ca_unchanged "$1" || ca_fail "$1 was changed since; it is left as it is"
    ca_new=$(ca_temporary "$1") || exit 1
    if ca_copy_whole "$ca_undo/$ca_kept" "$ca_new" && ca_sync "$ca_new" && mv -f -- "$ca_new" "$1"; then
      ca_discard "$ca_new"
      ca_label "$1"
      return 0
    fi
    ca_discard "$ca_new"
    ca_fail "cannot restore $1"
  elif ca_noted absent "$1" >/dev/null; then
    [ -e "$1" ] || return 0
    ca_unchanged "$1" || ca_fail "$1 was changed since; it is left as it is"
    rm -f -- "$1" || ca_fail "cannot remove $1"
  elif ca_kept=$(ca_noted mode "$1"); then
    [ -e "$1" ] || return 0
    if [ "$(stat -c '%a %u:%g' -- "$1")" = "$ca_kept" ]; then return 0; fi
    # A wide mode must not be given to something that others put in its place.
    ca_roots_path "$1" || ca_fail "others than root may write in a folder above $1; it is left as it is"
    chown "${ca_kept#* }" -- "$1" && chmod "${ca_kept% *}" -- "$1" || ca_fail "cannot restore the mode of $1"
  fi
}

# ca_restore: bring back every file of this attempt. May be called again. In the manifest's order
# by kind (absent, directory, file, mode) a directory of ours is empty before its turn comes; within a kind
# what lies deeper goes first, so that a folder which was open to others is opened again last.
ca_restore() {
  ca_undo_dir
  [ -f "$ca_undo/manifest" ] || ca_fail "nothing was kept for attempt $CA_ATTEMPT"
  while IFS='	' read -r ca_kind _ ca_target; do
    case $ca_kind in
      file | absent | mode) ca_restore_one "$ca_target" ;;
      directory) rmdir -- "$ca_target" 2>/dev/null || : ;; # what others put there since stays
    esac
  done <<END
$(sort -t '	' -k 1,1 -k 3,3r "$ca_undo/manifest")
END
}

# ca_service_start NAME [restart]: enable and start a service, or restart it and leave boot as it is;
# remembers how it was.
ca_service_start() {
  ca_service_state "$1"
  [ "$ca_installed" = true ] || ca_fail "there is no service $1 here"
  ca_note service "$ca_active $ca_enabled" "$1"
  ca_service_sockets "$1"
  ca_verb=start
  if [ "${2:-}" = restart ] && [ "$ca_active" = true ]; then ca_verb=restart; fi
  if ca_systemd; then
    [ "$ca_enabled" = true ] || [ "${2:-}" = restart ] || systemctl -q enable -- "$1.service" ||
      ca_fail "cannot enable $1"
    systemctl "$ca_verb" -- "$1.service" || ca_fail "cannot $ca_verb $1"
    return 0
  fi
  [ "$ca_enabled" = true ] || [ "${2:-}" = restart ] || ca_service_boot "$1" true
  if [ "$ca_active" = true ] && [ "$ca_verb" = start ]; then return 0; fi
  ca_service_script "$1" "$ca_verb" || ca_fail "cannot $ca_verb $1"
}

# ca_service_sockets NAME: remember the sockets of a service on which systemd does not listen now. Starting the
# service starts them, and left behind they would start it again as soon as it was stopped.
ca_service_sockets() {
  ca_systemd || return 0
  for ca_unit in $(systemctl show -p TriggeredBy --value -- "$1.service" 2>/dev/null); do
    case $ca_unit in *.socket) systemctl -q is-active -- "$ca_unit" || ca_note socket "$ca_unit" "$1/$ca_unit" ;; esac
  done
}

# ca_service_sockets_stop NAME: stop the sockets that ca_service_sockets found closed.
ca_service_sockets_stop() {
  ca_systemd || return 0
  for ca_unit in $(systemctl show -p TriggeredBy --value -- "$1.service" 2>/dev/null); do
    ca_noted socket "$1/$ca_unit" >/dev/null || continue
    systemctl stop -- "$ca_unit" || ca_fail "cannot stop $ca_unit"
  done
}

# ca_service_boot NAME true|false: start a service at boot or not, without systemd.
ca_service_boot() {
  if ca_have rc-update; then
    if [ "$2" = true ]; then rc-update -q add "$1" default; else rc-update -q del "$1" default; fi
  elif ca_have update-rc.d; then
    if [ "$2" = true ]; then update-rc.d "$1" enable; else update-rc.d "$1" disable; fi
  elif ca_have chkconfig; then
    if [ "$2" = true ]; then chkconfig "$1" on; else chkconfig "$1" off; fi
  fi >/dev/null 2>&1 || ca_fail "cannot change whether $1 starts at boot"
}

# ca_service_script NAME VERB: call the init script. Its daemon must not hold our output open.
ca_service_script() {
  if ca_have rc-service; then rc-service "$1" "$2"; else "/etc/init.d/$1" "$2"; fi >/dev/null 2>&1
}

# ca_service_restore NAME: bring a service back to what ca_service_start found.
ca_service_restore() {
  ca_was=$(ca_noted service "$1") || return 0
  ca_service_state "$1"
  if [ "$ca_enabled" != "${ca_was#* }" ]; then
    if ca_systemd; then
      if [ "${ca_was#* }" = true ]; then systemctl -q enable -- "$1.service"; else systemctl -q disable -- "$1.service"; fi
    else
      ca_service_boot "$1" "${ca_was#* }"
    fi || ca_fail "cannot change whether $1 starts at boot"
  fi
  [ "$ca_active" != "${ca_was% *}" ] || return 0
  ca_verb=stop
  if [ "${ca_was% *}" = true ]; then ca_verb=start; fi
  if [ "$ca_verb" = stop ]; then ca_service_sockets_stop "$1"; fi
  if ca_systemd; then systemctl "$ca_verb" -- "$1.service"; else ca_service_script "$1" "$ca_verb"; fi ||
    ca_fail "cannot $ca_verb $1"
}

# ca_sshd_reload: let the daemon that ca_sshd_find found read its configuration again (what every
# init system's own reload does); sessions go on. Fails when the daemon is gone afterwards.
ca_sshd_reload() {
  [ -n "$ca_sshd_pid" ] || return 0
  ca_sshd_run -t 2>/dev/null || return 1
  kill -HUP "$ca_sshd_pid" || return 1
  sleep 1
  kill -0 "$ca_sshd_pid" 2>/dev/null
}

# ca_sshd_admits: would the configuration as it lies on the disk let in, once more, whoever logged in by SSH and
# runs this? It also says no where it cannot tell. A reload brings into force all that was written since the last
# one, and what the daemon uses now lies nowhere: no undo could bring that back. True when nobody logged in by SSH.
ca_sshd_admits() {
  ca_connection=$(ca_ssh_connection) || return 0
  ca_login=${SUDO_USER:-${DOAS_USER:-$(id -un)}}
  ca_groups=$(id -Gn -- "$ca_login") || return 1
  # "client port server port"
  ca_client=${ca_connection%% *} ca_port=${ca_connection##* } ca_server=${ca_connection% *}
  ca_dump=$(ca_sshd_run -T -C "user=$ca_login,host=$ca_client,addr=$ca_client,laddr=${ca_server##* },lport=$ca_port" \
    2>/dev/null) || return 1
  printf '%s\n' "$ca_dump" | {
    ca_allow_users=none ca_allow_groups=none ca_root=yes ca_key=yes ca_password=no ca_ports=' '
    set -f
    while read -r ca_word ca_value; do
      case $ca_word in
        denyusers) if ca_names_user "$ca_value"; then return 1; fi ;;
        denygroups) if ca_names_group "$ca_value"; then return 1; fi ;;
        allowusers) if ca_names_user "$ca_value"; then ca_allow_users=yes; elif [ "$ca_allow_users" = none ]; then ca_allow_users=no; fi ;;
        allowgroups) if ca_names_group "$ca_value"; then ca_allow_groups=yes; elif [ "$ca_allow_groups" = none ]; then ca_allow_groups=no; fi ;;
        permitrootlogin) ca_root=$ca_value ;;
        pubkeyauthentication) ca_key=$ca_value ;;
        passwordauthentication) if [ "$ca_value" = yes ]; then ca_password=yes; fi ;;
        kbdinteractiveauthentication) if [ "$ca_value" = yes ]; then ca_password=yes; fi ;;
        port) ca_ports="$ca_ports$ca_value " ;;
      esac
    done
    [ "$ca_allow_users" != no ] && [ "$ca_allow_groups" != no ] || return 1
    [ "$ca_login" != root ] || [ "$ca_root" != no ] || return 1
    [ "$ca_key" = yes ] || [ "$ca_password" = yes ] || return 1
    # Where this daemon listens by itself, the port by which we came must stay one of its own.
    [ -z "$ca_sshd_pid" ] || ca_socket_activated || case $ca_ports in *" $ca_port "*) ;; *) return 1 ;; esac
  }
}

# ca_socket_activated: does systemd listen for the SSH server?
ca_socket_activated() { ca_systemd && { systemctl -q is-active ssh.socket || systemctl -q is-active sshd.socket; } 2>/dev/null; }

# ca_names_user PATTERNS: does one of these patterns of sshd mean $ca_login from $ca_client? Negations, and
# addresses with a mask, count as no for who is let in.
ca_names_user() {
  for ca_pattern in $1; do
    ca_from='*'
    case $ca_pattern in *@*) ca_from=${ca_pattern##*@} ca_pattern=${ca_pattern%@*} ;; esac
    # shellcheck disable=SC2254 # patterns on purpose
    case $ca_login in $ca_pattern) case $ca_client in $ca_from) return 0 ;; esac ;; esac
  done
  return 1
}

# ca_names_group PATTERNS: does one of these patterns of sshd mean a group of $ca_login?
ca_names_group() {
  for ca_pattern in $1; do
    for ca_group in $ca_groups; do
      # shellcheck disable=SC2254 # a pattern on purpose
      case $ca_group in $ca_pattern) return 0 ;; esac
    done
  done
  return 1
}

# What waits on the machine, in a process of its own, to undo a change that nobody confirms. "$1" is its folder,
# "$2" how many seconds it waits. Whoever makes the folder "decided" first decides: this timer, or a new session.
# It goes off at once when asked to (now), or told to end, as at a shutdown. With "boot" for "$2" it is the machine
# that starts again, after a power cut: what nobody has confirmed, or what was taken back half way, is taken back.
# shellcheck disable=SC2016 # expands in the timer's own shell
ca_deadman_timer='
cd "$1" || exit 1
trap "" HUP INT QUIT PIPE
trap ": >now" TERM
ca_forget() {
  [ -s unit ] && read -r unit <unit || return 0
  rm -f -- "$unit" "${unit%/*}/multi-user.target.wants/${unit##*/}"
}
if [ "$2" = boot ]; then
  [ "$(cat boot_id)" != "$(cat /proc/sys/kernel/random/boot_id)" ] || exit 0
  if [ -e confirmed ] || [ -e fired ]; then
    ca_forget
    exit 0
  fi
  mkdir decided 2>/dev/null || :
else
  echo "$$" >pid
  left=$2
  while [ ! -e now ] && [ "$left" -gt 0 ]; do
    [ ! -d decided ] || exit 0
    sleep 1
    left=$((left - 1))
  done
  mkdir decided 2>/dev/null || exit 0
fi
CA_SSHD_PID=$(cat sshd)
CA_SSHD_ARGS=$(cat sshd_args)
export CA_SSHD_PID CA_SSHD_ARGS
/bin/sh undo </dev/null >report 2>&1
: >fired
ca_forget
'

# ca_deadman_arm SECONDS UNDO: have UNDO (a script) run that many seconds from now, whatever becomes of this
# session and of the agent, unless ca_deadman_disarm comes first. Ends the step when the timer does not start.
ca_deadman_arm() {
  ca_undo_open
  ca_deadman=$ca_undo/deadman
  case $ca_undo in *[!A-Za-z0-9/._-]*) ca_fail "unsafe path: $ca_undo" ;; esac
  { ca_roots_own "$ca_undo" && ca_roots_path "$ca_undo"; } || ca_fail "others than root may write where $ca_undo lies"
  mkdir -m 0700 "$ca_deadman" || ca_fail "a timer was armed before for attempt $CA_ATTEMPT"
  ca_connection=$(ca_ssh_connection) || ca_connection=''
  ca_sshd_find
  printf '%s\n' "$ca_connection" >"$ca_deadman/connection" && ca_started "$$" >"$ca_deadman/since" &&
    printf '%s\n' "$ca_sshd_pid" >"$ca_deadman/sshd" && printf '%s' "$ca_sshd_args" >"$ca_deadman/sshd_args" &&
    printf '%s\n' "$2" >"$ca_deadman/undo" && cat /proc/sys/kernel/random/boot_id >"$ca_deadman/boot_id" &&
    printf 'umask 077\nPATH=%s\nLC_ALL=C\nCA_UNDO_ROOT=%s\nexport PATH LC_ALL CA_UNDO_ROOT%s' \
      "$PATH" "$CA_UNDO_ROOT" "$ca_deadman_timer" >"$ca_deadman/timer" ||
    ca_fail "cannot write $ca_deadman"
  for ca_file in undo timer boot_id sshd_args; do ca_sync "$ca_deadman/$ca_file"; done
  ca_sync "$ca_deadman"
  ca_deadman_boot
  ca_deadman_start "$1"
  ca_tries=100
  until [ -s "$ca_deadman/pid" ]; do
    ca_tries=$((ca_tries - 1))
    if [ "$ca_tries" = 0 ]; then
      mkdir "$ca_deadman/decided" 2>/dev/null || :
      ca_deadman_forget
      ca_fail 'the timer that would take the change back did not start; nothing was changed'
    fi
    sleep 0.1 2>/dev/null || sleep 1
  done
}

# ca_deadman_boot: a power cut ends the timer, so systemd has the change taken back as it starts this machine, before
# the SSH server. Without systemd nothing does.
ca_deadman_boot() {
  ca_systemd || return 0
  ca_unit=/etc/systemd/system/compliance-agent-undo-$CA_ATTEMPT.service
  ca_wants=${ca_unit%/*}/multi-user.target.wants
  printf '%s\n' "$ca_unit" >"$ca_deadman/unit" && ca_sync "$ca_deadman/unit" && ca_roots_path "$ca_unit" &&
    { [ -d "$ca_wants" ] || mkdir -m 0755 "$ca_wants"; } &&
    printf '%s\n' '[Unit]' "Description=Take back a change of compliance-agent that nobody has confirmed ($CA_ATTEMPT)" \
      "ConditionPathExists=$ca_deadman/timer" "RequiresMountsFor=$ca_deadman" 'Before=ssh.service sshd.service' \
      '[Service]' 'Type=oneshot' 'TimeoutStartSec=120' "ExecStart=/bin/sh $ca_deadman/timer $ca_deadman boot" >"$ca_unit" &&
    chmod 0644 "$ca_unit" && ln -s "../${ca_unit##*/}" "$ca_wants/${ca_unit##*/}" && ca_sync "$ca_unit" &&
    ca_sync "$ca_wants" && ca_sync "${ca_unit%/*}" || {
    ca_deadman_forget
    ca_fail "cannot write $ca_unit, which would take the change back after a power cut; nothing was changed"
  }
  ca_label "$ca_unit"
}

# ca_deadman_forget: the next boot takes nothing back any more.
ca_deadman_forget() {
  ca_unit=$(cat "$ca_deadman/unit" 2>/dev/null) && [ -n "$ca_unit" ] || return 0
  rm -f -- "$ca_unit" "${ca_unit%/*}/multi-user.target.wants/${ca_unit##*/}" 2>/dev/null || :
}

# ca_deadman_start SECONDS: start the timer, away from this session. Where systemd may end what a session leaves
# behind (KillUserProcesses) it is a unit of its own.
ca_deadman_start() {
  if ca_systemd && ca_have systemd-run && systemd-run --quiet --collect --unit="compliance-agent-deadman-$CA_ATTEMPT" \
    --property=KillMode=process --property=TimeoutStopSec=60 \
    /bin/sh "$ca_deadman/timer" "$ca_deadman" "$1" </dev/null >/dev/null 2>&1; then return 0; fi
  if ! ca_have setsid; then ca_deadman_forget; fi
  ca_have setsid || ca_fail 'there is no setsid to start a timer with that outlives this session; nothing was changed'
  env -i setsid /bin/sh "$ca_deadman/timer" "$ca_deadman" "$1" </dev/null >/dev/null 2>&1 &
}

# ca_deadman_alive: does the timer of this attempt still run?
ca_deadman_alive() {
  ca_pid=$(cat "$ca_deadman/pid" 2>/dev/null) && [ -n "$ca_pid" ] || return 1
  case $(tr '\0' ' ' 2>/dev/null <"/proc/$ca_pid/cmdline") in *"$ca_deadman/timer "*) ;; *) return 1 ;; esac
}

# ca_deadman_wait SECONDS: wait for the timer's end; fails when it does not come.
ca_deadman_wait() {
  ca_tries=$(($1 * 10))
  while ca_deadman_alive; do
    [ "$ca_tries" -gt 0 ] || return 1
    ca_tries=$((ca_tries - 1))
    sleep 0.1 2>/dev/null || { sleep 1 && ca_tries=$((ca_tries - 9)); }
  done
}

# ca_deadman_disarm: keep the change of this attempt. Ends the step unless this session logged in after the timer
# was armed (that a new login works is what it proves), or when the change was taken back already.
ca_deadman_disarm() {
  ca_undo_dir
  ca_deadman=$ca_undo/deadman
  ca_armed_by=$(cat "$ca_deadman/connection") || ca_fail "no timer was armed for attempt $CA_ATTEMPT"
  if [ -n "$ca_armed_by" ]; then
    ca_connection=$(ca_ssh_connection) && [ "$ca_connection" != "$ca_armed_by" ] ||
      ca_fail 'this is the session that made the change; a new one must confirm it'
    if ca_since=$(ca_ssh_since); then
      [ "$ca_since" -ge "$(cat "$ca_deadman/since")" ] || ca_fail 'this session is older than the change; a new one must confirm it'
    fi
  fi
  mkdir "$ca_deadman/decided" 2>/dev/null || ca_fail 'too late: the machine has taken the change back by itself'
  : >"$ca_deadman/confirmed" && ca_sync "$ca_deadman/confirmed" && ca_sync "$ca_deadman" ||
    ca_fail "cannot write $ca_deadman/confirmed; the change is taken back at the next boot"
  ca_deadman_forget
  ca_deadman_wait 5 || :
}

# ca_deadman_take: before this attempt is undone by hand: an armed timer does it now, and is waited for.
ca_deadman_take() {
  ca_undo_dir
  ca_deadman=$ca_undo/deadman
  [ -d "$ca_deadman" ] || return 0
  if ca_deadman_alive; then
    : >"$ca_deadman/now"
    ca_deadman_wait 90 || ca_fail 'the timer that takes the change back does not come to its end'
  fi
  mkdir "$ca_deadman/decided" 2>/dev/null || :
  ca_deadman_forget
}
