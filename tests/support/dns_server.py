"""A DNS server on 127.0.0.1, UDP and TCP: resolver for who asks for recursion, name server for who does not."""

from __future__ import annotations

import socketserver
import struct
import threading
from types import TracebackType
from typing import Any, Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone

Answers = list[dns.rrset.RRset]


class DnsServer:
    """Serves ``zones`` (origin -> zone file) at ``port``; every name in none of them does not exist.

    A part delegated to servers that are none of ours is SERVFAIL to those who ask for recursion. ``mute`` names get
    no answer at all.
    """

    def __init__(self, zones: dict[str, str], *, mute: tuple[str, ...] = ()) -> None:
        self.zones = {
            dns.name.from_text(origin): dns.zone.from_text(
                text, origin=origin, relativize=False, check_origin=False
            )
            for origin, text in zones.items()
        }
        self.mute = {dns.name.from_text(name) for name in mute}
        self.questions: list[tuple[str, str]] = []
        self._tcp = _Tcp(("127.0.0.1", 0), _TcpTalk)
        self.port: int = self._tcp.server_address[1]
        self._udp = _Udp(("127.0.0.1", self.port), _UdpTalk)
        for server in (self._tcp, self._udp):
            server.dns = self  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        for server in (self._tcp, self._udp):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (self._tcp, self._udp):
            server.shutdown()
            server.server_close()

    def answer(self, wire: bytes) -> bytes | None:
        query = dns.message.from_wire(wire)
        name, kind = query.question[0].name, query.question[0].rdtype
        self.questions.append((name.to_text(), dns.rdatatype.to_text(kind)))
        if name in self.mute:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        (self._resolve if query.flags & dns.flags.RD else self._tell)(response, name, kind)
        return response.to_wire()

    # -- as a name server

    def _tell(self, response: dns.message.Message, name: dns.name.Name, kind: Any) -> None:
        origin = self._origin(name)
        if origin is None:
            response.set_rcode(dns.rcode.REFUSED)
        elif (referral := self._delegation(origin, name)) is not None:
            response.authority.append(referral)
        else:
            response.flags |= dns.flags.AA
            found, exists = self._look(origin, name, kind)
            response.answer += found
            response.set_rcode(dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN)

    # -- as a resolver

    def _resolve(self, response: dns.message.Message, name: dns.name.Name, kind: Any) -> None:
        for _ in range(12):
            origin = self._origin(name)
            if origin is None:
                return response.set_rcode(dns.rcode.NXDOMAIN)
            if self._delegation(origin, name) is not None:
                return response.set_rcode(dns.rcode.SERVFAIL)
            found, exists = self._look(origin, name, kind)
            response.answer += found
            if not exists:
                return response.set_rcode(dns.rcode.NXDOMAIN)
            if not found or found[0].rdtype == kind:
                return None
            name = found[0][0].target
        return response.set_rcode(dns.rcode.SERVFAIL) if len(response.answer) > 40 else None

    # -- zones

    def _origin(self, name: dns.name.Name) -> dns.name.Name | None:
        found = [origin for origin in self.zones if name.is_subdomain(origin)]
        return max(found, key=len) if found else None

    def _delegation(self, origin: dns.name.Name, name: dns.name.Name) -> dns.rrset.RRset | None:
        while name != origin:
            rdataset = self.zones[origin].get_rdataset(name, dns.rdatatype.NS)
            if rdataset is not None:
                return dns.rrset.from_rdata_list(name, 60, list(rdataset))
            name = name.parent()
        return None

    def _look(self, origin: dns.name.Name, name: dns.name.Name, kind: Any) -> tuple[Answers, bool]:
        zone, owner = self.zones[origin], name
        if zone.get_node(name) is None:
            wildcard = dns.name.from_text("*", name.parent())
            if any(known.is_subdomain(name) for known in zone.nodes):
                return [], True  # an empty non-terminal
            if zone.get_node(wildcard) is None:
                return [], False
            owner = wildcard
        for wanted in (kind, dns.rdatatype.CNAME):
            rdataset = zone.get_rdataset(owner, wanted)
            if rdataset is not None:
                return [dns.rrset.from_rdata_list(name, 60, list(rdataset))], True
        return [], True


class _Udp(socketserver.ThreadingUDPServer):
    allow_reuse_address, daemon_threads, max_packet_size = True, True, 4096


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True


class _UdpTalk(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, line = self.request
        if (reply := self.server.dns.answer(wire)) is not None:  # type: ignore[attr-defined]
            if len(reply) > 1200:
                short = dns.message.make_response(dns.message.from_wire(wire))
                short.flags |= dns.flags.TC
                reply = short.to_wire()
            line.sendto(reply, self.client_address)


class _TcpTalk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:
            reply = self.server.dns.answer(self.rfile.read(struct.unpack("!H", head)[0]))  # type: ignore[attr-defined]
            if reply is None:
                return
            self.wfile.write(struct.pack("!H", len(reply)) + reply)
