#!/usr/bin/python3
"""A real mail server (aiosmtpd, of Debian) for tests, which reads what it gets with Python's own parser.

    mail_server.py <certificate.pem> <key.pem> <user> <password>

Three ports of 127.0.0.1: "starttls" (nothing before STARTTLS, then a log-in), "smtps" (TLS from the start, a log-in), "plain" (neither).
Standard output: one JSON line with the ports, then one per mail. It ends with its standard input."""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

certificate, key, user, password = sys.argv[1:5]


def tell(what):
    sys.stdout.write(json.dumps(what, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode())
    return AuthResult(success=good, handled=False)


class Reader:
    def __init__(self, name):
        self.name = name

    async def handle_DATA(self, server, session, envelope):
        raw = envelope.content
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        parts = [
            {"type": part.get_content_type(), "charset": part.get_content_charset(), "text": part.get_content()}
            for part in mail.walk()
            if not part.is_multipart()
        ]
        tell(
            {
                "port": self.name,
                "tls": session.ssl is not None or self.name == "smtps",
                "authenticated": bool(session.authenticated),
                "mail_from": envelope.mail_from,
                "recipients": envelope.rcpt_tos,
                "subject": mail["Subject"],
                "from": mail["From"],
                "from_name": mail["From"].addresses[0].display_name,
                "to": mail["To"],
                "date": str(mail["Date"].datetime.timestamp()),
                "message_id": mail["Message-ID"],
                "types": [part.get_content_type() for part in mail.walk()],
                "text": parts[0]["text"],
                "html": parts[1]["text"] if len(parts) > 1 else "",
                "longest_line": max(len(line) for line in raw.split(b"\r\n")),
                "defects": [str(defect) for part in mail.walk() for defect in part.defects],
                "names": [name.lower() for name in mail.keys()],
            }
        )
        return "250 taken"


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    log_in = {"authenticator": authenticate, "auth_required": True, "loop": asyncio.get_running_loop()}
    servers = {
        "starttls": (None, {"tls_context": context, "require_starttls": True, **log_in}),
        "smtps": (context, {"auth_require_tls": False, **log_in}),  # all of it is TLS, which aiosmtpd does not see
        "plain": (None, {}),
    }
    ports = {}
    for name, (tls, options) in servers.items():
        server = await asyncio.get_running_loop().create_server(
            lambda name=name, options=options: SMTP(Reader(name), **options), "127.0.0.1", 0, ssl=tls
        )
        ports[name] = server.sockets[0].getsockname()[1]
    tell(ports)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
