#!/usr/bin/env python3
"""The roles of roles.conf in the decentralised form: an operator, accounts and users as signed JWTs.

    python3 deploy/nats/jwt.py DIR                  # makes DIR/nats.conf, DIR/<user>.creds and, in DIR/keys, all seeds
    nats-server -c DIR/nats.conf                    # NATS_STORE says where it keeps its streams
    GRIDLOOM_NATS_CREDS=DIR/worker.creds gridloom worker

Accounts, imports, exports and permissions are read from roles.conf and what it includes, so both forms say the same.
Run again it keeps the keys that are there: edit roles.conf, run it, and reload the server. A user whose credentials
were stolen gets new ones, and the old ones are refused:

    python3 deploy/nats/jwt.py DIR --revoke worker && nats-server --signal reload

Who has DIR/keys can sign whatever he likes: keep it away from the server. Needs Python 3.9 and the command openssl 3.
The operator signs all accounts, so exports are open to each of them: no tokens are needed. Instead of this script nsc
can make the same (`nsc add operator`, `add account`, `add export`, `add import`, `add user --allow-pub ...`).
"""

import argparse
import base64
import hashlib
import json
import pathlib
import re
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
# What an nkey begins with, by the kind of its owner.
KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
SEED = 18 << 3
# DER of an Ed25519 key before the 32 bytes of its seed.
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
UNLIMITED = {limit: -1 for limit in ("subs", "data", "payload")}
TOKEN = re.compile(r'#[^\n]*|"([^"]*)"|([{}\[\],:])|([^\s{}\[\],:"#]+)')


def tokens(file):
    """The words of a configuration, with what it includes."""
    words = iter(TOKEN.finditer(file.read_text()))
    for word in words:
        if word[0].startswith("#"):
            continue
        if word[3] == "include":
            yield from tokens(file.parent / next(words)[0])
        else:
            yield ("text", word[1]) if word[1] is not None else ("word", word[0])


def value(words, first=None):
    kind, word = first or next(words)
    if (kind, word) == ("word", "{"):
        return block(words)
    if (kind, word) == ("word", "["):
        return list(items(words))
    return word


def items(words):
    for word in words:
        if word == ("word", "]"):
            return
        if word != ("word", ","):
            yield value(words, word)


def block(words):
    """The keys and values up to the end of a block."""
    found = {}
    for word in words:
        if word == ("word", "}"):
            break
        if word == ("word", ","):
            continue
        follows = next(words)
        found[word[1]] = value(words, None if follows == ("word", ":") else follows)
    return found


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def base32(data):
    data += crc16(data).to_bytes(2, "little")
    return base64.b32encode(data).decode().rstrip("=")


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True).stdout


class Key:
    """The nkey of an operator, an account or a user, kept in a file."""

    def __init__(self, file, kind):
        self.prefix = KINDS[kind]
        if file.exists():
            text = file.read_text().strip()
            raw = base64.b32decode(text + "=" * (-len(text) % 8))
            self.seed = raw[2:34]
        else:
            self.seed = openssl("genpkey", "-algorithm", "ed25519", "-outform", "DER")[-32:]
            file.touch(mode=0o600)
            file.write_text(self.text() + "\n")
        public = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", data=PKCS8 + self.seed)
        self.public = base32(bytes([self.prefix]) + public[-32:])

    def text(self):
        return base32(bytes([SEED | self.prefix >> 5, (self.prefix & 31) << 3]) + self.seed)

    def sign(self, data):
        with tempfile.NamedTemporaryFile() as key, tempfile.NamedTemporaryFile() as message:
            key.write(PKCS8 + self.seed)
            key.flush()
            message.write(data)
            message.flush()
            return openssl("pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", key.name, "-in", message.name)

    def jwt(self, name, subject, claims):
        """Signs what is claimed of `subject`."""

        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")

        body = {"iat": int(time.time()), "iss": self.public, "name": name, "sub": subject}
        body["nats"] = {**claims, "version": 2}
        digest = hashlib.sha256(json.dumps(body).encode()).digest()
        body["jti"] = base64.b32encode(digest).decode().rstrip("=")
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        text = b".".join(part(json.dumps(piece).encode()) for piece in (head, body))
        return (text + b"." + part(self.sign(text))).decode()


def account_claims(said, publics, revoked):
    def of(entry):
        kind = "service" if "service" in entry else "stream"
        return kind, entry[kind]

    exports = []
    for entry in said.get("exports", []):
        kind, subject = of(entry)
        export = {"name": subject, "subject": subject, "type": kind}
        if entry.get("response_type") == "stream":
            export["response_type"] = "Stream"
        exports.append(export)
    imports = []
    for entry in said.get("imports", []):
        kind, source = of(entry)
        imports.append(
            {"name": source["subject"], "subject": source["subject"], "account": publics[source["account"]], "type": kind}
        )
    limits = {**UNLIMITED, "imports": -1, "exports": -1, "conn": -1, "leaf": -1, "wildcards": True}
    if said.get("jetstream"):
        limits |= {limit: -1 for limit in ("mem_storage", "disk_storage", "streams", "consumer")}
    claims = {"type": "account", "exports": exports, "imports": imports, "limits": limits}
    users = said.get("users", [])
    if len(users) == 1:
        claims["default_permissions"] = permissions_of(users[0])
    return claims | ({"revocations": revoked} if revoked else {})


def permissions_of(user):
    said = user["permissions"]
    claims = {"pub": said["publish"], "sub": said["subscribe"]}
    if said.get("allow_responses"):
        claims["resp"] = {"max": 1, "ttl": 120_000_000_000}
    return claims


def user_claims(user, is_alone):
    """What is signed for a user; for the only one of an account nothing but that, since a client sends all of it when it
    connects, and the server takes 4 KiB: its permissions are those of its account."""
    return {"type": "user", **UNLIMITED, **({} if is_alone else permissions_of(user))}


def credentials(jwt, key):
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{key.text()}\n------END USER NKEY SEED------\n"
    )


def configuration(operator, system, accounts):
    preload = "\n".join(f"  {public}: {jwt}" for public, jwt in accounts.items())
    return f"""# Made by deploy/nats/jwt.py.
server_name: gridloom
listen: "127.0.0.1:4222"
http: "127.0.0.1:8222"
jetstream {{
  store_dir: $NATS_STORE
  sync_interval: always
}}
operator: {operator}
system_account: {system}
resolver: MEMORY
resolver_preload {{
{preload}
}}
"""


def revoke(keys, user):
    """Forgets the key of a user, whose credentials of before now are refused from then on."""
    file, list_file = keys / f"{user}.nk", keys / "revoked.json"
    revoked = json.loads(list_file.read_text()) if list_file.exists() else {}
    revoked[Key(file, "user").public] = int(time.time())
    list_file.write_text(json.dumps(revoked))
    file.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--revoke", metavar="USER", action="append", default=[])
    args = parser.parse_args()
    keys = args.dir / "keys"
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    for user in args.revoke:
        revoke(keys, user)
    revoked_file = keys / "revoked.json"
    revoked = json.loads(revoked_file.read_text()) if revoked_file.exists() else {}
    accounts = block(tokens(HERE / "roles.conf"))["accounts"]
    accounts["SYS"] = {}
    operator = Key(keys / "operator.nk", "operator")
    account_keys = {name: Key(keys / f"{name}.nk", "account") for name in accounts}
    publics = {name: key.public for name, key in account_keys.items()}
    signed = {}
    for name, said in accounts.items():
        key = account_keys[name]
        signed[key.public] = operator.jwt(name, key.public, account_claims(said, publics, revoked))
        users = said.get("users", [])
        for user in users:
            user_key = Key(keys / f"{user['user']}.nk", "user")
            jwt = key.jwt(user["user"], user_key.public, user_claims(user, len(users) == 1))
            creds = args.dir / f"{user['user']}.creds"
            creds.touch(mode=0o600)
            creds.write_text(credentials(jwt, user_key))
    # Signed once: a server does not take another one while it runs.
    itself = keys / "operator.jwt"
    if not itself.exists():
        itself.write_text(operator.jwt("gridloom", operator.public, {"type": "operator"}))
    (args.dir / "nats.conf").write_text(configuration(itself.read_text(), publics["SYS"], signed))


if __name__ == "__main__":
    main()
