"""The scrubber, both ways: what must go, and what must stay."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_agent.adapters.scrub import names_a_secret, scrub

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
    "2026-01-15T12:00:00.000000Z",
    "systemd-fsck@dev-disk-by\\x2duuid-0a1b2c3d\\x2d4e5f.service",
    "LIN-SSH-001 run_linux_runbook:LIN-SSH-001 45 CFR 164.312(a)(2)(i)",
    "",
]


@pytest.mark.parametrize(("text", "secret"), GOES)
def test_a_secret_goes(text, secret) -> None:
    assert secret in text
    assert secret not in scrub(text)


@pytest.mark.parametrize("text", STAYS)
def test_what_people_decide_by_stays(text) -> None:
    assert scrub(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    assert scrub(f"before\n{KEY}\nafter password=hunter2x, port=22") == (
        "before\n[removed]\nafter password=[removed], port=22"
    )


FRAGMENTS = st.sampled_from([*(text for text, _ in GOES), *STAYS, " ", "\n", "=", ":", "-----BEGIN X-----", '"'])


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
