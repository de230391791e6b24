// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/behaviour/probe.h"

#include <algorithm>
#include <optional>

#include "tests/support/capture.h"

namespace mb::test {
namespace {

// Sent and forgotten: the deadline is no proof, the barrier after it is.
constexpr std::chrono::milliseconds kForget{1};

// The port stands for the attempt; a ping, which has none, carries it in its text.
std::string text_of(std::uint16_t port) { return "attempt " + std::to_string(port) + "\n"; }

bool belongs_to(const Packet& packet, std::uint16_t port) {
  const bool has_ports = packet.source_port != 0 || packet.target_port != 0;
  if (has_ports) return packet.source_port == port || packet.target_port == port;
  return packet.payload == text_of(port);
}

// "source=172.18.0.3:40000" or "source=[fd00:18::3]:40000", without the port.
std::string source_in(const std::string& reply) {
  const std::string prefix = "source=";
  if (!reply.starts_with(prefix)) return reply;
  const auto source = reply.substr(prefix.size(), reply.rfind(':') - prefix.size());
  return source.starts_with('[') ? source.substr(1, source.size() - 2) : source;
}

bool says_no(const Packet& packet, std::uint16_t port) {
  constexpr std::uint8_t kReset = 4;
  const bool reset = packet.protocol == 6 && packet.target_port == port && (packet.tcp_flags & kReset) != 0;
  const bool unreachable =
      (packet.protocol == 1 && packet.icmp_type == 3) || (packet.protocol == 58 && packet.icmp_type == 1);
  return !packet.outgoing && (reset || unreachable);
}

bool ends_with_port(const std::string& peer, std::uint16_t port) { return peer.ends_with(":" + std::to_string(port)); }

}  // namespace

std::string Prober::outcome_in_words(const Outcome& outcome) const {
  switch (outcome.kind) {
    case Outcome::kReached:
      return outcome.reply.empty() ? "reached" : "reached as " + setting_.name_of(source_in(outcome.reply));
    case Outcome::kRefused: return "refused";
    case Outcome::kUnreachable: return "unreachable";
    case Outcome::kTimedOut: break;
  }
  return "no answer";
}

Outcome Prober::speak(const Row& row, Family family, const TalkOptions& options) const {
  const auto target = Target::parse(row.to);
  const auto address = setting_.address(target.place, family);
  const auto& from = setting_.at(row.from);
  switch (row.speech) {
    case Speech::tcp: return tcp_talk(from, address, target.port, options);
    case Speech::udp: return udp_talk(from, address, target.port, options);
    case Speech::ping: break;
  }
  return ping(from, address, options);
}

std::string Prober::try_forbidden(const Row& row, Family family) {
  const auto port = next_port();
  const auto barrier_port = next_port();
  const auto target = Target::parse(row.to);
  const auto barrier = Target::parse(row.barrier_to);
  const auto protocol = row.speech == Speech::udp ? Protocol::udp : Protocol::tcp;
  Capture at_sender(setting_.at(row.from), Setting::interface_of(row.from));
  std::optional<Capture> at_receiver;
  if (!row.nothing_at.empty()) at_receiver.emplace(setting_.at(row.nothing_at), Setting::interface_of(row.nothing_at));

  speak(row, family,
        {.from_address = row.from_address, .from_port = port, .deadline = kForget, .message = text_of(port)});
  const Outcome permitted = tcp_talk(setting_.at(row.barrier_from), setting_.address(barrier.place, family),
                                     barrier.port, {.from_port = barrier_port});
  if (!permitted.reached()) return "the barrier was not reached but " + outcome_in_words(permitted);

  if (at_receiver) {
    const auto by = at_receiver->until([&](const Packet& p) { return belongs_to(p, barrier_port); });
    if (count(by, [&](const Packet& p) { return !p.outgoing && belongs_to(p, port); }) > 0) return "passed";
  }
  const auto heard = setting_.heard_at(target, family, protocol);
  if (std::any_of(heard.begin(), heard.end(), [&](const auto& peer) { return ends_with_port(peer, port); })) {
    return "passed";
  }
  const auto back = at_sender.drain();
  if (count(back, [&](const Packet& p) { return says_no(p, port); }) > 0) return "answered";
  return count(back, [&](const Packet& p) { return !p.outgoing && belongs_to(p, port); }) > 0 ? "passed" : "dropped";
}

std::string Prober::try_row(const Row& row, Family family) {
  if (row.must == "dropped") return try_forbidden(row, family);
  return outcome_in_words(speak(row, family, {.from_address = row.from_address}));
}

// ------------------------------------------------------------------ guards

namespace {

void for_both_families(const std::string& rule) {
  must("iptables-legacy " + rule);
  must("ip6tables-legacy " + rule);
}

void set_localnet(const std::string& value) { must("sysctl -qw net.ipv4.conf.up1.route_localnet=" + value); }

// Whoever asked in vain for a sibling's MAC address asks again a second later; a test need not wait for it.
void clear_isolated_flags() {
  must(
      "ip -o link show type veth | sed -n 's/^[0-9]*: \\(mb[^@:]*\\).*/\\1/p' | "
      "while read port; do bridge link set dev $port isolated off; done && "
      "for family in -4 -6; do ip $family -n mb-q2 neigh flush dev eth0 nud all; done");
}

}  // namespace

void take_away(Guard guard) {
  switch (guard) {
    case Guard::none: return;
    case Guard::forward: return for_both_families("-I FORWARD -j ACCEPT");
    case Guard::raw: return for_both_families("-t raw -F MINIBRIDGE-RAW");
    case Guard::loopback_ports: must("iptables-legacy -t nat -I PREROUTING -j MINIBRIDGE-PUBLISH"); return;
    case Guard::localnet: return set_localnet("1");
    case Guard::input: return for_both_families("-F MINIBRIDGE-INPUT");
    case Guard::isolated: for_both_families("-I FORWARD -j ACCEPT"); return clear_isolated_flags();
    case Guard::source_address: return for_both_families("-t nat -F MINIBRIDGE-MASQUERADE");
    case Guard::no_masquerade: return for_both_families("-t nat -A POSTROUTING -o up0 -j MASQUERADE");
    case Guard::closed_input: return Setting::open_input();
  }
}

void put_back(Guard guard) {
  if (guard == Guard::forward || guard == Guard::isolated) for_both_families("-D FORWARD -j ACCEPT");
  if (guard == Guard::loopback_ports) must("iptables-legacy -t nat -D PREROUTING -j MINIBRIDGE-PUBLISH");
  if (guard == Guard::localnet) set_localnet("0");
  if (guard == Guard::no_masquerade) for_both_families("-t nat -D POSTROUTING -o up0 -j MASQUERADE");
  if (guard == Guard::closed_input) Setting::close_input();
  Program::must_mb("repair");
}

}  // namespace mb::test
