"""Verify an export of evidence. Independent of the agent: Python 3.9+ and the library "cryptography", nothing else.

Usage: python3 verify.py [--key PUBLIC-KEY.pem]... [--head HEAD.json] EXPORT (a folder, or a .zip)

Prints what is wrong, one line each, then what cannot be known. Exit code: 0 whole, 2 tampered with, 1 not readable.
The format is specified in docs/reference/evidence.md of the project.
"""

import argparse
import base64
import hashlib
import json
import sys
import zipfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

ENTRY, MANIFEST = (f"application/vnd.compliance-agent.{name}.v1+json" for name in ("evidence", "evidence-manifest"))


def canonical(value):
    """RFC 8785 for values without floats."""
    if isinstance(value, dict):
        value = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(key)}:{canonical(item)}" for key, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float) or (isinstance(value, int) and abs(value) >= 2**53):
        raise ValueError("a number that is not in the profile")
    return json.dumps(value, ensure_ascii=False)


def strict(data):
    """Read JSON that is written in the one canonical way."""
    try:
        value = json.loads(data.decode())
        written = canonical(value).encode()
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if written != data or not isinstance(value, dict):
        raise ValueError("not an object in its canonical writing")
    return value


def raw_key(document):
    """Return the raw public key of a key document."""
    key = bytes.fromhex(document["public_key"])
    Ed25519PublicKey.from_public_bytes(key)
    return key


def read_entry(line):
    """Return an entry, its key id, signature and signed bytes, and the keys that it names: its own and the new one."""
    entry, *proof = opened(line, ENTRY)
    body, number = entry["body"], entry["seq"]
    texts = [entry[name] for name in ("chain", "previous", "kind", "at", "site_id")]
    if entry["schema"] != "evidence/v1" or type(number) is not int or not all(isinstance(text, str) for text in texts):
        raise ValueError("not an entry of evidence/v1")
    named = raw_key(body["key"]) if entry["kind"] in ("chain_started", "segment_started") else None
    new = raw_key(body["new_key"]) if entry["kind"] in ("key_rotated", "key_replaced") else None
    return entry, proof, named, new


def opened(line, kind):
    """Return payload, key id and signature of a DSSE envelope, and the bytes that were signed."""
    envelope = strict(line)
    (signature,) = envelope["signatures"]
    payload, raw = (base64.b64decode(text, validate=True) for text in (envelope["payload"], signature["sig"]))
    again = {"payload": base64.b64encode(payload).decode(), "payloadType": kind}
    again["signatures"] = [{"keyid": signature["keyid"], "sig": base64.b64encode(raw).decode()}]
    if canonical(again).encode() != line:
        raise ValueError(f"not a {kind}")
    return (
        strict(payload),
        signature["keyid"],
        raw,
        b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload),
    )


def signed(key, keyid, signature, message):
    """Tell whether this raw public key made the signature."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return keyid == hashlib.sha256(key).hexdigest()


def verify(files, keys, head=None):
    """Return findings and notes. files: name -> bytes; keys: raw public keys; head: dict with chain, seq, sha256."""
    findings, notes, trusted = [], [], list(keys)
    find, retired = findings.append, set()
    chain, seq, previous, key, first, pruned, hashes = None, 0, None, None, 0, 0, {}
    names = sorted(name for name in files if name.startswith("chain/"))
    for line in b"".join(files[name] for name in names).split(b"\n")[:-1]:
        try:
            entry, (keyid, signature, message), own, new = read_entry(line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            find(f"altered: the line after entry {seq} is no entry as it was signed: {error!r}")
            seq, previous = seq + 1, hashlib.sha256(line).hexdigest()
            continue
        number, body, link, of_chain = entry["seq"], entry["body"], entry["previous"], entry["chain"]
        kind = entry["kind"]
        if chain is None:
            chain, first, seq, previous = of_chain, number, number - 1, previous or link
            named = [own] if own and not trusted else []
            key = next((one for one in trusted + named if hashlib.sha256(one).hexdigest() == keyid), None)
            if not trusted:
                notes.append("no public key was given: nothing here proves whose chain this is")
        if of_chain != chain:
            find(f"foreign_chain: after entry {seq} stands an entry of the chain {of_chain}")
            continue
        if number != seq + 1:
            find(f"{'missing' if number > seq + 1 else 'out_of_order'}: entry {number} stands where {seq + 1} belongs")
        elif link != (previous if number > 1 else "0" * 64):
            find(f"broken_link: entry {number} does not follow the entry before it")
        if kind == "key_replaced":
            retired.add(key)
            key = new
            if key not in trusted or key in retired:
                find(f"unvouched_key: at entry {number} a new key took over after the old one was lost")
        if key is None or not signed(key, keyid, signature, message):
            find(f"signature: entry {number} is not signed by the key that the chain has there")
        elif kind == "key_rotated":
            retired.add(key)
            key = new
        elif kind == "segments_pruned":
            pruned = body["last_seq"]
        elif kind in ("refused", "state_restored"):
            notes.append(f"entry {number} is a hole that the agent itself tells: {kind}")
        seq, previous = number, hashlib.sha256(line).hexdigest()
        hashes[number] = previous
    if first > 1 and pruned != first - 1:
        find(f"missing: entries 1 to {first - 1} are not here")
    last = max(hashes, default=0)
    if head is None:
        notes.append("no recorded head was given: a lost tail cannot be told from entries that were never made")
    elif head["chain"] != chain or head["seq"] not in hashes:
        find(f"tail_missing: the chain ends at entry {last}; entry {head['seq']} of {head['chain']} was recorded")
    elif hashes[head["seq"]] != head["sha256"]:
        find(f"head_differs: entry {head['seq']} is not the one that was recorded")
    try:
        manifest, keyid, signature, message = opened(files["manifest.dsse.json"], MANIFEST)
        if key is None or not signed(key, keyid, signature, message):
            find("manifest: not signed by the key that the chain ends with")
        if manifest["head"] != {"chain": chain, "seq": last, "sha256": hashes.get(last)}:
            find("manifest: it was made for a chain with another end")
        listed = manifest["files"]
        for name in sorted(set(files) - {"manifest.dsse.json"} | set(listed)):
            if name not in files or hashlib.sha256(files[name]).hexdigest() != listed.get(name):
                find(f"file_altered: {name} is missing, altered, or not part of this export")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        find(f"manifest: not as it was signed: {error!r}")
    return findings, notes


def read_export(path):
    """Return name -> bytes. Only plain files, each name once: else a reader could be shown another file than this."""
    if path.is_dir():
        paths = [one for one in path.rglob("*") if one.is_symlink() or not one.is_dir()]
        if odd := [str(one) for one in paths if one.is_symlink() or not one.is_file()]:
            raise ValueError(f"no plain files: {odd}")
        return {one.relative_to(path).as_posix(): one.read_bytes() for one in paths}
    with zipfile.ZipFile(path) as archive:
        names = [one.orig_filename for one in archive.infolist() if one.orig_filename[-1:] != "/"]
        if len({name.replace("\\", "/") for name in names}) < len(names):
            raise ValueError("a name stands twice in the zip file")
        return {name: archive.read(name) for name in names}


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Verify an export of evidence.")
    parser.add_argument("--key", action="append", default=[], type=Path, help="public key, PEM; repeatable")
    parser.add_argument("--head", type=Path, help="the chain's end as somebody else recorded it, JSON")
    parser.add_argument("export", type=Path)
    given = parser.parse_args()
    keys = [load_pem_public_key(path.read_bytes()).public_bytes(Encoding.Raw, PublicFormat.Raw) for path in given.key]
    try:
        files, head = read_export(given.export), json.loads(given.head.read_text()) if given.head else None
        if head is not None:
            head = {"chain": head["chain"], "seq": int(head["seq"]), "sha256": head["sha256"]}
    except Exception as error:  # noqa: BLE001 - a zip file can be broken in many ways
        sys.exit(f"not readable: {error!r}")
    findings, notes = verify(files, keys, head)
    for text in [*(f"FOUND {one}" for one in findings), *(f"note: {one}" for one in notes)]:
        print(text)
    print("tampered with" if findings else "whole")
    return 2 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
