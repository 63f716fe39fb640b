"""Verify an export of evidence. Independent of the agent: Python 3.9+ and the library "cryptography" 40+, nothing else.

Usage: python3 verify.py EXPORT KEY.pem [KEY.pem]... [HEAD.json]

EXPORT is a folder or a zip file, KEY.pem the site's public key, HEAD.json the end of the chain; have both from somebody
else than who gave you the export. Prints what is wrong, one line each. Exit code: 0 whole, 2 tampered with, 1 cannot be
read. An export is read line by line: however large it is, it needs the same little memory.
docs/reference/evidence.md of the project specifies the format; the numbers below are its steps, the names its words.
"""

import base64
import hashlib
import json
import sys
import zipfile
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

MANIFEST, LINE_MAX, MANIFEST_MAX = "manifest.dsse.json", 1 << 20, 1 << 24
written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def ring(*keys):
    return {sha256(key.public_bytes_raw()): key for key in keys}


def opened(line, name, keys):
    """Return the payload of a DSSE envelope and the id of the key that signed it, one of ``keys`` (id -> key)."""
    envelope, kind = json.loads(line), f"application/vnd.compliance-agent.{name}.v1+json"
    payload, signature = base64.b64decode(envelope["payload"]), base64.b64decode(envelope["signatures"][0]["sig"])
    proof = {"keyid": envelope["signatures"][0]["keyid"], "sig": base64.b64encode(signature).decode()}
    again = {"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": [proof]}
    content = json.loads(payload)
    if written(again) != line.decode() or written(content) != payload.decode():  # no byte is free, not even a space
        raise ValueError("not in its canonical writing")
    signer = new_key(content) if content.get("kind") == "key_replaced" else keys
    signer[proof["keyid"]].verify(signature, b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload))
    return content, proof["keyid"]


def new_key(entry):
    return ring(Ed25519PublicKey.from_public_bytes(bytes.fromhex(entry["body"]["new_key"]["public_key"])))


def judge(lines, trusted, recorded):
    """Yield what is wrong with a chain. Return its last entry, and the key (id -> key) that signs after it."""
    keys, used, first, end, seq, hashed = trusted, set(), None, None, 0, ""
    pruned = {"last_seq": 0, "last_sha256": "0" * 64}
    for line in lines:
        seq, previous, hashed = seq + 1, hashed, sha256(line)
        try:  # 1, and the signature of 5: what is not signed by the chain's key is not looked at any further
            entry, keyid = opened(line, "evidence", keys)
        except Exception as error:  # noqa: BLE001 - whatever reading something else raises
            yield f"altered: where entry {seq} belongs stands nothing that the chain's key signed: {error!r}"
            continue
        number, kind = entry["seq"], entry["kind"]
        first, seq = (first, seq) if first else (entry, number)
        wrong = {
            "foreign_chain": entry["chain"] != first["chain"],  # 2
            "missing": number > seq,  # 3
            "out_of_order": number < seq,
            "broken_link": number == seq and entry["previous"] != (previous or entry["previous"]),  # 4
            "unvouched_key": kind == "key_replaced" and (keyid not in trusted or keyid in used),  # 5
            "head_differs": recorded and recorded["seq"] == number and recorded["sha256"] != hashed,
        }
        yield from (f"{name}: entry {number}, read where entry {seq} belongs" for name in wrong if wrong[name])
        used.add(keyid)
        keys = new_key(entry) if kind in ("key_rotated", "key_replaced") else {keyid: keys[keyid]}
        pruned = entry["body"] if kind == "segments_pruned" else pruned
        seq, end = number, {"chain": entry["chain"], "seq": number, "sha256": hashed}
    if first and (first["seq"] - 1, first["previous"]) != (pruned["last_seq"], pruned["last_sha256"]):
        yield f"missing: what stood before entry {first['seq']}"
    if recorded and (end is None or recorded["chain"] != end["chain"] or recorded["seq"] > end["seq"]):
        yield f"tail_missing: the chain ends with {end}; recorded was {recorded}"
    return end, keys


def lines_of(files, hashes):
    """Yield the lines of the chain in their order, and note the hash of every file on the way."""
    for name in sorted(files):
        digest = hashlib.sha256()
        with files[name]() as file:
            while piece := file.readline(LINE_MAX):
                digest.update(piece)
                if name.startswith("chain/"):
                    yield piece.rstrip(b"\n")
        hashes[name] = digest.hexdigest()


def verify(files, trusted, recorded=None):
    """Yield what is wrong. files: name -> function that opens it; trusted: key id -> key; recorded: a head, if any."""
    hashes = {}
    end, keys = yield from judge(lines_of(files, hashes), trusted, recorded)
    try:
        with files[MANIFEST]() as file:
            manifest, _ = opened(file.read(MANIFEST_MAX), "evidence-manifest", keys)
        wanted = {**manifest["files"], MANIFEST: hashes[MANIFEST], "head": manifest["head"]}
        found = {**hashes, "head": end}
        yield from (f"file_altered: {one}" for one in {**found, **wanted} if found.get(one) != wanted.get(one))
    except Exception as error:  # noqa: BLE001
        yield f"manifest: missing, or not signed by the key that the chain ends with: {error!r}"


def files_of(path):
    """Return name -> function that opens it. Only plain files, each name once: else a reader could be shown another."""
    if path.is_dir():
        paths = [one for one in path.rglob("*") if one.is_symlink() or not one.is_dir()]
        plain = [one for one in paths if one.is_file() and not one.is_symlink()]
        files = {one.relative_to(path).as_posix(): partial(one.open, "rb") for one in plain}
    else:
        archive = zipfile.ZipFile(path)
        paths = [one for one in archive.infolist() if not one.orig_filename.endswith("/")]
        files = {one.orig_filename: partial(archive.open, one) for one in paths}
    if len(files) < len(paths):
        raise ValueError("a name stands twice, or is no plain file")
    return files


def main(export, *given):
    trusted = ring(*(load_pem_public_key(Path(one).read_bytes()) for one in given if not one.endswith(".json")))
    heads = [json.loads(Path(one).read_bytes()) for one in given if one.endswith(".json")]
    found = list(verify(files_of(Path(export)), trusted, *heads))
    whole = "whole" if heads else "whole; without HEAD.json nobody can tell whether its end was cut off"
    print(*found, "tampered with" if found else whole, sep="\n")
    return 2 if found else 0


if __name__ == "__main__":
    sys.excepthook = lambda _kind, error, _trace: print(f"cannot be read: {error!r}", file=sys.stderr)
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else __doc__)
