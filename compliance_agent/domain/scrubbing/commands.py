"""Command lines and configuration lines that give a secret in a place of its own: ``psexec -p X``, ``password X``.

To teach it a program, add a line to ``_OPTIONS``.
"""

from __future__ import annotations

from typing import Final

from compliance_agent.domain.scrubbing.detectors import BLANK, by_pattern
from compliance_agent.domain.scrubbing.names import is_harmless

_WORD: Final = r"(\"[^\"\r\n]*\"|'[^'\r\n]*'|(?:[^\s\"'\[]|\[[^r\s])[^\s\"']*)"
"""A word of a command line goes; a quoted one may hold spaces. What is gone already is passed over."""
_LATER: Final = r"\b(?:\.exe\b)?[^\r\n|;]*?[ \t]"
_GAP: Final = rf"(?:{BLANK}+|{BLANK}*=)"


def _is_no_word(before: str, value: str) -> bool:
    """Tell whether what stands where a password could is another option, a variable, a prompt or plain prose."""
    return value[:1] in {"-", "$", "|", ">", "<", "(", "*"} or is_harmless("", value) or before.endswith("--")


def _is_switch(before: str, value: str) -> bool:
    return value[:1] in {"/", "*"} or _is_no_word(before, value)


def _is_prose(_before: str, value: str) -> bool:
    """Tell whether a word behind `password` is one of a sentence or of another setting."""
    return is_harmless("", value) or value.startswith(("[", "(", "<", "-")) or value in {"version", "traps", "informs"}


# What one of the programs has in its name, the programs, and the option before the password. The options' case counts:
# `docker -p`, but `ipmitool -P`.
_OPTIONS: Final = (
    (
        "psexec",
        "ps paexec winexe xcmd",
        r"ps(?:exec(?:64|svc)?|info|loggedon|service|kill|shutdown|getsid|passwd|loglist)|paexec|winexe|xcmd",
        r"[-/]p",
    ),
    (
        "docker-login",
        "login",
        r"(?:docker|podman|buildah|skopeo|nerdctl|helm registry|oras|crane auth|az acr|az|oc|cf|argocd)[ \t]+login",
        r"-p",
    ),
    ("ipmitool", "ipmi bmc racadm sum", r"ipmi\w*|ipmitool|bmc\w*|racadm|sum", r"-[Pp]"),
    ("ldap", "ldap", r"ldap(?:search|modify|add|delete|whoami|modrdn|compare|passwd|vi|exop|url)", r"-(?:w|a|s)"),
    ("redis", "redis", r"redis-cli|redis-benchmark", r"-a"),
    (
        "mongo",
        "mongo cqlsh influx clickhouse couchbase",
        r"mongo(?:sh|dump|restore|export|import|stat|top)?|cqlsh|influx|clickhouse-client|couchbase-cli",
        r"-p",
    ),
    ("sql-server", "sqlcmd osql bcp tsql isql dtexec", r"sqlcmd|osql|bcp|tsql|isql|dtexec", r"-P"),
    ("mqtt", "mosquitto", r"mosquitto_(?:pub|sub|rr)", r"-P"),
    ("archive", "zip", r"zip|unzip|zipcloak", r"-P"),
    ("putty", "plink pscp psftp putty kitty", r"plink|pscp|psftp|putty|kitty", r"-pw"),
    (
        "remote-desktop",
        "rdesktop hydra medusa ncrack crackmapexec netexec nxc winrm smbmap vncviewer freerdp",
        r"rdesktop|hydra|medusa|ncrack|crackmapexec|netexec|nxc|evil-winrm|smbmap|vncviewer|freerdp|wfreerdp",
        r"-p(?:asswd)?",
    ),
    ("snmp", "snmp", r"snmp(?:walk|get|getnext|bulkwalk|bulkget|set|status|table|trap|df|netstat|inform)", r"-[cAXk]"),
    ("kerberos", "kadmin k5start kdb5 ktutil", r"kadmin|k5start|kdb5_util|ktutil", r"-(?:w|pw|P)"),
    ("useradd", "useradd usermod newusers snmp", r"useradd|usermod|newusers|net-snmp-create-v3-user", r"-[pAX]"),
    (
        "dsadd",
        "ds winr vssadmin msdeploy manage-bde",
        r"ds(?:add|mod)|winrs|winrm|vssadmin|msdeploy|manage-bde",
        r"[-/](?:pwd|password|p)",
    ),
    ("openssl", "openssl", r"openssl", r"-[kK]"),
    ("ssh-keygen", "keygen", r"ssh-keygen", r"-[NP]"),
    ("az", "az", r"az", r"(?:-p|--admin-password)"),
    ("openssl-pass", "openssl", r"openssl", r"-pass(?:in|out)?[ \t]+[\"']?pass:"),
    (
        "cert-tool",
        "certutil signtool keytool pk12util ktpass importpfx openvpn certreq",
        r"certutil|signtool|keytool|pk12util|ktpass|importpfx|openvpn-gui|certreq",
        r"[-/](?:p|w|W|K|pass|storepass|keypass|srcstorepass|deststorepass)",
    ),
    (
        "svn-and-vpn",
        "svn hg openconnect vpn rasdial forticlient vnc",
        r"svn|hg|openconnect|vpncmd|rasdial|forticlient|vpnc|x11vnc|vnc\w*",
        r"[-/](?:password|passwd|PASSWORD:)",
    ),
    (
        "htpasswd-curl",
        "curl wget http xh",
        r"curl|wget|http|https|httpie|xh",
        r"(?:-u|-U|-a|--user|--proxy-user|--auth)[ \t=]*[\"']?[^\s:\"']+:",
    ),
)


COMMANDS: Final = (
    *(
        by_pattern(
            f"option-of-{name}",
            needs,
            rf"\b(?i:{programs}){_LATER}(?:{option}){'' if option.endswith(':') else _GAP}{_WORD}",
            spares=_is_no_word,
            exact=True,
        )
        for name, needs, programs, option in _OPTIONS
    ),
    by_pattern("sshpass", "sshpass", rf"\bsshpass{_LATER}-p{BLANK}*{_WORD}", spares=_is_no_word),
    by_pattern(
        "mysql",
        "mysql mariadb",
        r"\b(?i:mysql|mariadb)(?:-?(?i:dump|admin|import|show|check|slap|binlog|pump|sh))?\b[^\r\n|;]*?[ \t\"]-p"
        r"(\"[^\"\r\n]+\"|'[^'\r\n]+'|[^\s\"'][^\s\"']*)",
        exact=True,
    ),
    by_pattern("glued-option", "7z rar", rf"\b(?:7za?r?|rar|unrar){_LATER}-h?p([^\s]+)"),
    by_pattern("glued-sql", "-p", r"\b(?i:sqlcmd|osql|bcp|isql|tsql)\b[^\r\n|;]*?[ \t]-P([^\s]+)", exact=True),
    by_pattern(
        "here-string",
        "<<<",
        rf"\b(?:sudo|su|passwd|chpasswd|kinit|smbpasswd|cryptsetup)\b[^\r\n]*?<<<{BLANK}*{_WORD}",
        spares=_is_no_word,
    ),
    by_pattern(
        "openssl-passwd", "openssl", rf"\bopenssl{BLANK}+passwd{BLANK}+(?:-\w+{BLANK}+)*{_WORD}", spares=_is_no_word
    ),
    by_pattern(
        "configure-set",
        "secret session_token",
        rf"\b(?:set|config){BLANK}+\w*(?:secret_access_key|secret_key|session_token){BLANK}+{_WORD}",
    ),
    by_pattern(
        "wifi-key",
        "nmcli iwctl netsh wpa_cli",
        rf"\b(?:nmcli|iwctl|netsh|wpa_cli)\b[^\r\n|;]*?(?:psk|passphrase|keyMaterial=|wep-key\d?){BLANK}*{_WORD}",
    ),
    by_pattern("user-percent", "%", r"[ \t](?:-U|--user(?:name)?)[ \t=]*[\"']?[^\s%\"']+%([^\s\"']+)", exact=True),
    by_pattern("lftp", "lftp", rf"\blftp{_LATER}-u{BLANK}*[^\s,]+,([^\s]+)"),
    by_pattern("impacket", "@", r"\b(?:\w+\.py|impacket-\w+)[ \t][^\r\n]*?[\w.-]+/?[\w.$-]*:([^\s@\"']+)@[\w.-]+"),
    by_pattern(
        "net-user",
        "net",
        rf"\bnet1?(?:\.exe)?{BLANK}+user(?:{BLANK}+/\S+)*{BLANK}+(?:\"[^\"\r\n]+\"|[^\s/\"]\S*){BLANK}+{_WORD}",
        spares=_is_switch,
    ),
    by_pattern(
        "net-use",
        "\\\\",
        rf"\bnet1?(?:\.exe)?{BLANK}+use(?:{BLANK}+/\S+)*(?:{BLANK}+(?:[a-z]:|\*"
        rf"|lpt\d:?))?{BLANK}+\"?\\\\[^\s\"]+\"?(?:{BLANK}+/(?:persistent|savecred|delete)\S*)*{BLANK}+{_WORD}",
        spares=_is_switch,
    ),
    by_pattern(
        "net-use-user",
        "/user:",
        rf"\bnet1?(?:\.exe)?{BLANK}+use\b[^\r\n]*?/user:(?:\"[^\"\r\n]+\"|\S+){BLANK}+{_WORD}",
        spares=_is_switch,
    ),
    by_pattern(
        "windows-switch",
        "/",
        rf"[ \t]/(?:pass(?:word)?|rp|pwd|p|cpw|domainpassword)(?::|{BLANK}+){_WORD}",
        spares=_is_switch,
    ),
    by_pattern(
        "registry-value",
        "reg_",
        rf"\b\w*(?:password|pwd|secret|token|community|psk){BLANK}+REG_(?:SZ|BINARY|EXPAND_SZ|MULTI_SZ){BLANK}+{_WORD}",
    ),
    by_pattern(
        "registry-add",
        "reg",
        rf"\breg(?:\.exe)?{BLANK}+add\b[^\r\n]*?/v{BLANK}+\"?\w*(?:password|pwd|secret"
        rf"|token)\"?{BLANK}[^\r\n]*?/d{BLANK}+{_WORD}",
    ),
    by_pattern(
        "set-variable",
        "setx setenv",
        rf"\b(?:setx|setenv){BLANK}+\"?\w*(?:password|passwd|_pass|pwd|secret|token|api_?key"
        rf"|access_?key)\"?{BLANK}+{_WORD}",
        spares=_is_no_word,
    ),
    by_pattern(
        "secure-string",
        "securestring",
        rf"\bConvertTo-SecureString{BLANK}+(?:-String{BLANK}+)?(\"[^\"\r\n]*\"|'[^'\r\n]*')",
    ),
    by_pattern(
        "credential-object",
        "credential",
        rf"\b(?:NetworkCredential|PSCredential)\(?{BLANK}*\(?[^,\r\n]+,{BLANK}*([\"'][^\"'\r\n]+[\"'])",
    ),
    by_pattern("key-content", "content", rf"\bKey Content{BLANK}+:{BLANK}*([^\s][^\r\n]*)"),
    by_pattern(
        "piped-password",
        "|",
        rf"\b(?:echo|printf|print|write-output){BLANK}+(?:-\w+{BLANK}+)?(\"[^\"\r\n]+\""
        rf"|'[^'\r\n]+'|[^\s\"'|]+){BLANK}*\|{BLANK}*(?:sudo{BLANK}+-\w*S|(?:sudo{BLANK}+)?(?:chpasswd"
        rf"|passwd|smbpasswd|kinit|cryptsetup|pw|docker{BLANK}+login|gpg|openssl|su)\b)",
    ),
    by_pattern(
        "sql-password",
        "identified password",
        rf"\b(?:identified{BLANK}+(?:with{BLANK}+\S+{BLANK}+)?(?:by|as)|with{BLANK}+"
        rf"(?:encrypted{BLANK}+)?password|set{BLANK}+password[^=\r\n]*=|\bencrypted{BLANK}+password"
        rf"|password{BLANK}*\(){BLANK}*(?:password\({BLANK}*)?('[^'\r\n]*'|\"[^\"\r\n]*\"|values{BLANK}+'[^'\r\n]*')",
    ),
    by_pattern(
        "rabbitmq",
        "rabbitmqctl",
        rf"\brabbitmqctl{BLANK}+(?:-\S+{BLANK}+)*(?:add_user|change_password){BLANK}+\S+{BLANK}+{_WORD}",
    ),
    by_pattern(
        "htpasswd",
        "htpasswd",
        rf"\bhtpasswd{BLANK}+(?:-\S+{BLANK}+)*(?:-\w*b\w*{BLANK}+[^\s-]\S*|-\w*(?:nb|bn)\w*){BLANK}+\S+{BLANK}+{_WORD}",
        exact=True,
    ),
    by_pattern("wpa-passphrase", "wpa_passphrase", rf"\bwpa_passphrase{BLANK}+(?:\"[^\"\r\n]+\"|\S+){BLANK}+{_WORD}"),
    by_pattern(
        "samba-tool",
        "samba-tool",
        rf"\bsamba-tool{BLANK}+user{BLANK}+(?:create|add|setpassword){BLANK}+[\w.-]+{BLANK}+([^\s-][^\s]*)",
    ),
    by_pattern("vault-login", "vault", rf"\bvault{BLANK}+login{BLANK}+(?:token=)?([^\s=-][^\s=]*)"),
    by_pattern(
        "netrc",
        "passw",
        r"\b(?:login|user)\s+\S+\s+(?:account\s+\S+\s+)?passw(?:ord|d)\s+"
        r"(\"[^\"\r\n]*\"|\S+)",
        spares=_is_prose,
    ),
    by_pattern(
        "netrc-machine",
        "passw",
        r"\b(?:machine\s+\S+|default)\s+(?:account\s+\S+\s+)?passw(?:ord"
        r"|d)\s+(\"[^\"\r\n]*\"|\S+)",
        spares=_is_prose,
    ),
    by_pattern("pgpass", ":", r"^[\w.*-]+:(?:\d{4,5}|\*):[\w*.-]+:[\w*.@-]+:([^\s:]+)[ \t]*$"),
    # The line ends behind the word, as in `password hunter2` of Cisco; or a number for its kind stands before it.
    by_pattern(
        "password-line",
        "pass secret pw masterauth key psk community",
        r"^[ \t>+-]*(?:(?:set|no|username[ \t]+\S+|user[ \t]+\S+|neighbor[ \t]+\S+|enable|ppp[ \t]+\S+|line"
        r"|privilege[ \t]+\d+|role[ \t]+\S+|admin\w*|ssl|level[ \t]+\d+|ip|ftp|http|[\w.-]+)[ \t]+){0,6}"
        r"(?:\w*[_-]?pass(?:word|wd|phrase|code)?|secret|requirepass|bindpw|masterauth|psksecret|(?:encrypted"
        r"|plain-text|plaintext)-password|pre-shared-key|key-string|community-string|wpa-psk|shared-secret"
        r"|bind_?pw|rootpw|admin_?pw)"
        r"(?:[ \t]+(?:ENC|encrypted|plain|ascii|hex|cipher|irreversible-cipher|simple|clear|sha\d*|md5|local|0|5"
        r"|6|7|8|9))*[ \t]+(\"[^\"\r\n]*\"|'[^'\r\n]*'|[^\s\"':=][^\s\"']*)[ \t]*;?\r?$",
        spares=_is_prose,
    ),
    by_pattern(
        "password-kind",
        "password secret key community",
        r"\b(?:password|secret|key|key-string|authentication-key|community)[ \t]+(?:(?:encrypted|cipher|ENC"
        r"|irreversible-cipher|ascii|ascii-text|hexadecimal)[ \t]+|(?:\d+[ \t]+)?(?:md5|[056789])[ \t]+)"
        r"([^\s\"';]{4,}|\"[^\"\r\n]+\")",
        spares=_is_prose,
    ),
    by_pattern(
        "password-word",
        "pass secret",
        rf"\b(?:password|passphrase|passwd|secret){BLANK}+([^\s\"'`:=,;()\[\]<>/]*"
        rf"(?:[A-Za-z][^\s\"'`:=,;()\[\]<>/.]*[0-9!@#$%^&*]"
        rf"|[0-9][^\s\"'`:=,;()\[\]<>/.]*[A-Za-z])[^\s\"'`=,;()\[\]<>]*)",
        spares=_is_prose,
    ),
    by_pattern(
        "standby",
        "authentication",
        rf"^[ \t]*(?:standby|vrrp){BLANK}+\d+{BLANK}+authentication(?:{BLANK}+text)?{BLANK}+{_WORD}",
        spares=_is_prose,
    ),
    by_pattern(
        "shared-key",
        "key secret passphrase psk",
        rf"\b(?:(?:tacacs|radius|aaa)(?:-server)?(?:{BLANK}+[\w.-]+){{0,8}}?{BLANK}+(?:key|secret)"
        rf"|crypto{BLANK}+isakmp{BLANK}+key|message-digest-key{BLANK}+\d+{BLANK}+md5|authentication-key|psksecret"
        rf"|wpa-psk{BLANK}+(?:ascii|hex)|wpa-passphrase)(?:{BLANK}+(?:[0-9]|md5|ENC|encrypted|ascii"
        rf"|hex))*{BLANK}+(\"[^\"\r\n]*\"|[^\s\"';]+)",
        spares=_is_prose,
    ),
    by_pattern(
        "snmp-community",
        "snmp community com2sec trap",
        rf"(?:\bsnmp-server{BLANK}+community|\bsnmp-agent{BLANK}+community{BLANK}+(?:read|write)(?:{BLANK}+"
        rf"(?:cipher|simple))?|^[ \t]*set{BLANK}+snmp{BLANK}+community|^[ \t]*r[ow]community6?"
        rf"|^[ \t]*com2sec6?{BLANK}+(?:-Cn{BLANK}+\S+{BLANK}+)?\S+{BLANK}+\S+"
        rf"|\bsnmp-server{BLANK}+host{BLANK}+\S+(?:{BLANK}+(?:traps|informs|vrf{BLANK}+\S+))*"
        rf"(?:{BLANK}+version{BLANK}+(?:1|2c|3(?:{BLANK}+(?:auth|noauth|priv))?))?|^[ \t]*trap(?:2?sink"
        rf"|community){BLANK}+(?:\S+{BLANK}+)?){BLANK}+{_WORD}",
        spares=_is_prose,
    ),
    by_pattern(
        "snmp-user",
        "auth priv",
        rf"\b(?:auth|priv)(?:entication|acy)?{BLANK}+(?:md5|sha|sha-?\d+|des|3des|des56|aes)(?:{BLANK}+(?:128|192"
        rf"|256))?{BLANK}+{_WORD}",
        spares=_is_prose,
    ),
    by_pattern(
        "snmp-user-of-net-snmp",
        "user",
        rf"^[ \t]*(?:createUser|usmUser){BLANK}+\S+{BLANK}+(?:MD5|SHA\S*){BLANK}+(\"[^\"\r\n]*\"|\S+)(?:{BLANK}+"
        rf"(?:DES|AES\S*)(?:{BLANK}+(\"[^\"\r\n]*\"|\S+))?)?",
    ),
    by_pattern(
        "chap-secrets",
        '"',
        r"^[ \t]*(?:\"[^\"\r\n]+\"|[\w.@*\\-]+)[ \t]+(?:\"[^\"\r\n]+\"|[\w.@*-]+)[ \t]+\"([^\"\r\n]+)\"[ \t]+"
        r"(?:\*|[\d./]+)[ \t]*$",
    ),
    by_pattern(
        "ipsec-secrets", "psk xauth eap", rf":{BLANK}+(?:PSK|XAUTH|EAP){BLANK}+(\"[^\"\r\n]+\"|\S+)", exact=True
    ),
    by_pattern(
        "postfix-login",
        ":",
        r"^[ \t]*\[?[\w.-]+\]?(?::\d+)?[ \t]+[\w.+-]+(?:@[\w.-]+)?:([^\s:/\[][^\s:/]{3,})[ \t]*$",
        spares=lambda _before, value: value.isdecimal(),
    ),
    by_pattern("cifs-login", "user", r"\b(?:username|user)=[^\s,]+,pass(?:word)?=([^\s,]+)"),
)
