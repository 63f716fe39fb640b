"""The scrubber, both ways: what must go, and what must stay."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.domain.scrub import ScrubError, scrub, scrub_document, scrub_surely
from compliance_agent.domain.scrubbing.names import names_a_secret
from compliance_agent.domain.scrubbing.personal import names_personal_data

BODY = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nSECRETPART"
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}\n-----END OPENSSH PRIVATE KEY-----"
RANDOM = base64.b64encode(hashlib.sha512(b"a token").digest()).decode().replace("/", "x")

GOES = [
    (f"before\n{KEY}\nafter", "SECRETPART"),
    (KEY[:60], "b3Blbn"),
    (KEY.replace("OPENSSH", "RSA"), "SECRETPART"),
    ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("authorization: Digest username=x, response=abcdef", "abcdef"),
    ("Proxy-Authorization: Bearer abc", "abc"),
    ('{"Authorization": "Bearer abc.def"}', "abc.def"),
    ("curl failed with bearer eyx123456789", "eyx123456789"),
    ("Cookie: session=abcdef", "abcdef"),
    ("X-Api-Key: abcdef", "abcdef"),
    ("password=hunter2x", "hunter2x"),
    ("password: hunter2x", "hunter2x"),
    ('password = "two words"', "two words"),
    ("db_password='hunter2x' host=a", "hunter2x"),
    ('{"token": "abcdefgh"}', "abcdefgh"),
    ("API_KEY=abcdefgh;next", "abcdefgh"),
    ("aws_secret_access_key=abcdefgh", "abcdefgh"),
    ("passphrase: correcthorse", "correcthorse"),
    ("--password=hunter2x", "hunter2x"),
    ("mysql -u root passwd=hunter2x", "hunter2x"),
    ("https://user:hunter2x@host/path", "hunter2x"),
    ("root:$6$saltsalt$hashhashhashhash:19000:0:99999:7:::", "hashhash"),
    ("root:$y$j9T$salt$hashhashhashhash:19000", "hashhash"),
    ("ghp_" + "a1" * 18, "a1a1"),
    ("AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
    ("xoxb-123456789012-abcdef", "123456789012"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig_nature", "eyJzdWIi"),
    (f"the value {RANDOM} leaked", RANDOM[:40]),
    ("Server=db1;Database=ehr;User Id=sa;Password=hunter2x;", "hunter2x"),
    ("postgres://ehr:hunter2x@10.0.0.5:5432/ehr", "hunter2x"),
    ("DefaultEndpointsProtocol=https;AccountName=x;AccountKey=abcdefgh12==", "abcdefgh12"),
    ("Endpoint=sb://x;SharedAccessKey=abcdefgh12=", "abcdefgh12"),
    ("PresharedKey = abcdefgh12", "abcdefgh12"),
    ("wpa_psk=correcthorse and psk=correcthorse", "correcthorse"),
    ("PGPASSWORD=hunter2x psql", "hunter2x"),
    ("rocommunity s3cr3tword 10.0.0.0/8", "s3cr3tword"),
    ("curl -s -u admin:hunter2x https://host", "hunter2x"),
    ("sshpass -p hunter2x ssh host", "hunter2x"),
    ("AIza" + "Sy0_a-1b" * 5, "Sy0_a-1b"),
    ("mysql -uroot -phunter2x ehr", "hunter2x"),
    ("cmdkey /add:srv /user:admin /pass:hunter2x", "hunter2x"),
    ("schtasks /create /ru admin /rp hunter2x /tn x", "hunter2x"),
    ("    DefaultPassword    REG_SZ    Hunter2xx", "Hunter2xx"),
    ("<Password>Hunter2xx</Password>", "Hunter2xx"),
    ("    Key Content            : hunter2xwifi", "hunter2xwifi"),
    ("ConvertTo-SecureString 'Hunter2xx' -AsPlainText", "Hunter2xx"),
    ("requirepass s3cr3tword", "s3cr3tword"),
    ("com2sec readonly default s3cr3tword", "s3cr3tword"),
    ("snmp-server community s3cr3t RO", "s3cr3t "),
    ("mysqldump --password hunter2x ehr", "hunter2x"),
    ("DB_PASS=hunter2x", "hunter2x"),
    ("admin:$apr1$abcdefgh$hashhashhashhash", "hashhash"),
    ("ASIA" + "ABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOP"),
    ("hvs." + "CAESIJabcdefghijklmnopqrstuvwx", "CAESIJ"),
    ("  Password:\n    111111-222222-333333-444444-555555-666666-777777-888888", "444444"),
    ("Administrator:500:" + "aa" * 16 + ":" + "31" * 16 + ":::", "3131"),
    ("sk_live_" + "a1B2" * 6, "a1B2a1B2"),
]

PERSONAL = [
    ("ssn 123-45-6789 seen", "123-45-6789"),
    ("number 123-45-6789.", "123-45-6789"),
    ("SSN: 123456789", "123456789"),
    ("social security number: 123 45 6789", "45 6789"),
    ("MRN: 00123456", "00123456"),
    ("MRN 00123456", "00123456"),
    ("mrn=A-998877", "998877"),
    ("Medical Record No. 55-1234", "55-1234"),
    ('{"patient_id": "P-778899"}', "778899"),
    ("member id: XJB123456", "XJB123456"),
    ("Medicare number 1EG4-TE5-MK73", "TE5"),
    ("DOB: 01/02/1970", "1970"),
    ("D.O.B. 1970-01-02", "1970"),
    ("date of birth = 2 Jan 1970", "1970"),
    ("birth_date=19700102", "19700102"),
    ("born on January 2, 1970", "1970"),
    ("mail from jane.doe@example.org refused", "jane.doe"),
    ("<j+tag@mail.clinic-north.co.uk>", "j+tag"),
    ("call (212) 555-0100", "555-0100"),
    ("call 212-555-0100 now", "555-0100"),
    ("call 1-212-555-0100", "555-0100"),
    ("ring +44 20 7946 0958", "7946"),
    ("phone: 212.555.0100", "555.0100"),
    ("Fax 2: x, fax: 2125550100", "2125550100"),
    ("patient: Jane Doe, room 4", "Doe"),
    ("patient_name=DOE^JANE^Q", "JANE"),
    ("Patient's name: Jane O'Neil", "Neil"),
    ("chart of patient Jane Doe opened", "Doe"),
    ("opened for patient Mrs. Jane Doe", "Doe"),
    ("Patient Name: Doe, Jane", "Jane"),
    ("home address: 12 Elm Street, Springfield", "Elm"),
    ("diagnosis: type 2 diabetes", "diabetes"),
    ("ICD-10: E11.9", "E11.9"),
    ("PID|1||00123^^^H^MR||DOE^JANE||19700102|F", "DOE"),
]

STAYS = [
    "10.0.0.242 and 192.168.100.255:5985 and [2001:db8::1]:22",
    "port=22 ports 80,443,8443",
    "OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.15 3 Sep 2024",
    "linux-image-6.1.0-28-cloud-amd64_6.1.119-1_amd64.deb",
    "offset -0.000012345 s, jitter 0.000001234 s, 1234567890.123456",
    "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDzc6ZKhcNhqu2Qc1A",
    "256 SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDzc6ZKhcNhqu2Qc1A host (ED25519)",
    "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
    "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "0190a6b5-7c1e-7abc-8def-0123456789ab",
    "/nix/store/0c7c96gikmzv87i7lv3vq5s1cmfjd6zf-openssh-9.9p1/bin/sshd",
    "/usr/share/Doc/Python3/Lib/Site-Packages/Long_Module_Name_2/File9.py",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl key of a person",
    "PasswordAuthentication no",
    "passwordauthentication=no permitemptypasswords=no",
    "PermitRootLogin prohibit-password",
    "password_max_days=90 password: required",
    "password_file=/run/secrets/ssh token: /run/credentials/agent/token",
    "empty_passwords=0 tokens: 12",
    "/etc/passwd: No such file or directory",
    "passwd: Authentication token manipulation error",
    "sudo: a password is required",
    "basic authentication is off, bearer of bad news",
    "PWD=/root HOME=/root",
    "bypass=12, /passive, mysqld -port 3306, mysql --protocol=tcp",
    "sha256 of it: e3b0c44298fc1c149afbf4c8996fb924 md5:d41d8cd98f00b204e9800998ecf8427e",
    "2026-01-15T12:00:00.000000Z",
    "systemd-fsck@dev-disk-by\\x2duuid-0a1b2c3d\\x2d4e5f.service",
    "ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com kex curve25519-sha256@libssh.org",
    "macs umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com rijndael-cbc@lysator.liu.se",
    "getty@tty1.service user@1000.service wg-quick@wg0.service systemd-backlight@backlight.device",
    "root@front-desk:/etc# operator@10.0.0.242",
    "212.555.0100 is a version, 5551234567 a number of bytes, +15551234567 an offset in ns",
    "Chrome 114.0.5735.198, build 10.0.19045.5247, kernel 6.1.0-28-555-1234",
    "last offset : +0.000001234 seconds, root delay 0.012345678, freq 12.345 ppm, -12.345",
    "2026-11-25 16:27:07.123456+00:00, 25/Nov/2026:16:27:07 +0000, Wed Nov 25 16:27:07 UTC 2026",
    "mode 0600, owner 0:0, -rw-r----- 1 root shadow 1234 Jan  2  1970 /etc/shadow",
    "00:1a:2b:3c:4d:5e via fe80::1%eth0, 192.0.2.0/24, 10.0.0.1:123-456",
    "uid 1000, pid 123-456, 128 10 4096, 3 of 12 checks",
    "0190a6b5-7c1e-7abc-8def-012345678901 12345678-1234-1234-1234-123456789012",
    "dispatch-123-45-6789.example.org",
    "number of patients: counted elsewhere, a patient person waits, inpatient ward",
    "address: 10.0.0.242 listen address = 0.0.0.0:22",
    "medical-app 2.1.0 health check passed: ok",
    "born to be wild, cell 3, tel aviv, telnet: off, telephone exchange",
    "minidlna: policy no, member of: wheel, subscriber count 5",
    "signal 9, sig: ok, psk off",
    "SNMP rocommunity6 is absent",
    "LIN-SSH-001 run_linux_runbook:LIN-SSH-001 45 CFR 164.312(a)(2)(i)",
    "",
]


@pytest.mark.parametrize(("text", "secret"), GOES)
def test_a_secret_goes(text, secret) -> None:
    assert secret in text
    assert secret not in scrub(text)


@pytest.mark.parametrize(("text", "person"), PERSONAL)
def test_what_is_personal_goes(text, person) -> None:
    assert person in text
    assert person not in scrub(text)


@pytest.mark.parametrize("text", STAYS)
def test_what_people_decide_by_stays(text) -> None:
    assert scrub(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    assert scrub(f"before\n{KEY}\nafter password=hunter2x, port=22") == (
        "before\n[removed]\nafter password=[removed], port=22"
    )


FRAGMENTS = st.sampled_from(
    [*(text for text, _ in [*GOES, *PERSONAL]), *STAYS, " ", "\n", "=", ":", "-----BEGIN X-----", '"']
)


@pytest.mark.unmeasured
@given(st.lists(FRAGMENTS | st.text(max_size=20), max_size=6).map("".join))
def test_scrubbing_twice_changes_nothing_more(text) -> None:
    assert scrub(scrub(text)) == scrub(text)


@given(st.ip_addresses().map(str), st.integers(1, 65_535))
def test_no_address_is_ever_taken_for_a_secret(address, port) -> None:
    text = f"host {address} port {port} answered"
    assert scrub(text) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9))
def test_no_clock_offset_is_ever_taken_for_a_secret(offset) -> None:
    assert scrub(f"offset={offset}") == f"offset={offset}"


@given(st.binary(min_size=32, max_size=32))
def test_no_digest_is_ever_taken_for_a_secret(digest) -> None:
    fingerprint = f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
    assert scrub(f"key {fingerprint} {digest.hex()}") == f"key {fingerprint} {digest.hex()}"


@pytest.mark.parametrize(
    "name", ["password", "db_password", "Token", "api_key", "apiKey", "private_key", "secret", "pkey"]
)
def test_a_field_that_holds_a_secret_is_known_by_its_name(name) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize("name", ["password_file", "token_count", "secretary", "target", "key", "runbook_id", "passed"])
def test_a_field_that_holds_none_is_known_too(name) -> None:
    assert not names_a_secret(name)


@pytest.mark.parametrize("name", ["ssn", "patient_name", "MRN", "date_of_birth", "email", "contact_phone", "member_id"])
def test_a_field_that_holds_personal_data_is_known_by_its_name(name) -> None:
    assert names_personal_data(name)


@pytest.mark.parametrize("name", ["name", "hostname", "inpatients", "mailer", "phonebook_service", "address", "id"])
def test_a_field_of_a_machine_is_not_taken_for_one(name) -> None:
    assert not names_personal_data(name)


def test_a_document_is_scrubbed_in_every_depth_and_keeps_what_is_no_text() -> None:
    document: dict[str, Any] = {
        "facts": {"ports": [22, 80], "lines": ["MRN: 00123456", "port=22"], "on": True, "none": None},
        "patient_name": "whatever it is",
        "db_password": "hunter2x",
        "password": "required",
    }
    assert scrub_document(document, length_max=100) == {
        "facts": {"ports": [22, 80], "lines": ["MRN: [removed]", "port=22"], "on": True, "none": None},
        "patient_name": "[removed]",
        "db_password": "[removed]",
        "password": "required",
    }


def test_a_long_text_is_cut_after_it_was_scrubbed() -> None:
    secret = "password=" + "x" * 200
    assert scrub_document({"a": secret, "b": "y" * 200}, length_max=50) == {
        "a": "password=[removed]",
        "b": "y" * 44 + " [cut]",
    }


def test_a_flood_is_not_scrubbed_whole_but_no_secret_survives_at_its_end() -> None:
    found = scrub_document({"a": "word " * 100_000 + "password=hunter2x"}, length_max=100)
    assert found == {"a": ("word " * 100)[:94] + " [cut]"}


def test_what_is_no_character_becomes_one_that_can_be_signed() -> None:
    assert scrub_document({"a": "x\ud800y\0z"}, length_max=100) == {"a": "x\ufffdy\ufffdz"}


def test_text_that_scrubbing_does_not_settle_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("compliance_agent.domain.scrub._scrub_once", lambda text: text + "!")
    with pytest.raises(ScrubError):
        scrub_surely("anything")


@given(st.lists(FRAGMENTS | st.text(max_size=20), max_size=6).map("".join))
def test_the_scrubber_is_sure_of_every_text(text) -> None:
    assert scrub_surely(text) == scrub(text)


@given(st.from_regex(r"[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}", fullmatch=True))
def test_every_formatted_telephone_number_goes(number) -> None:
    assert scrub(f"call {number}, please") == "call [removed], please"


@given(st.from_regex(r"[0-9]{3}-[0-9]{2}-[0-9]{4}", fullmatch=True))
def test_every_formatted_social_security_number_goes(number) -> None:
    assert scrub(f"found {number} in it") == "found [removed] in it"


@given(st.uuids().map(str), st.integers(0, 2**64), st.datetimes())
def test_no_id_number_or_time_is_ever_taken_for_personal_data(uuid, number, time) -> None:
    text = f"{uuid} {number} {time.isoformat()} {time} -{number}.{number}"
    assert scrub(text) == text


@given(st.lists(st.integers(0, 99_999), min_size=2, max_size=5), st.sampled_from(".+~:"))
def test_no_version_is_ever_taken_for_personal_data(parts, separator) -> None:
    text = f"version {separator.join(map(str, parts))} is installed"
    assert scrub(text) == text
