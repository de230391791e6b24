// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/behaviour/attacks.h"

#include <algorithm>

#include "tests/support/capture.h"

namespace mb::test {
namespace {

constexpr const char* kForged = "forged";

}  // namespace

void Attacks::iptables(const std::string& words) { must(iptables_of(family()) + " " + words); }

std::string Attacks::mac(const std::string& place) const { return mac_of(at(place), Setting::interface_of(place)); }

std::string Attacks::bridge_mac(const std::string& network) const { return mac_of(at("host"), bridge(network)); }

std::uint16_t Attacks::forge(const std::string& from, const std::string& source, const std::string& target,
                             std::uint16_t port, const IpOptions& options) {
  const bool is_outside = from == "wire" || from == "outside";
  const auto host_mac = is_outside ? mac_of(at("host"), Setting::interface_of(from)) : bridge_mac("n1");
  const auto source_port = next_forged_port_++;
  send(from, host_mac, udp_packet(source, source_port, target, port, kForged, options));
  return source_port;
}

void Attacks::send(const std::string& from, const std::string& target_mac, const std::string& packet) const {
  const auto ethertype = static_cast<std::uint8_t>(packet[0]) >> 4 == 6 ? 0x86dd : 0x0800;
  send_frame(at(from), Setting::interface_of(from),
             ethernet(target_mac, mac(from), static_cast<std::uint16_t>(ethertype), packet));
}

std::size_t Attacks::come_by(const std::string& place, const std::function<void()>& attack, const Barrier& barrier) {
  return in_all_circumstances([&] { return come_by_now(place, attack, barrier); });
}

std::size_t Attacks::come_by_now(const std::string& place, const std::function<void()>& attack,
                                 const Barrier& barrier) {
  const auto port = next_port_++;
  Capture capture(at(place), Setting::interface_of(place));
  attack();
  const Outcome permitted = barrier({.from_port = port});
  EXPECT_TRUE(permitted.reached()) << "the barrier: " << permitted;
  const auto is_barrier = [&](const Packet& p) { return p.source_port == port || p.target_port == port; };
  return count(capture.until(is_barrier), [](const Packet& p) { return !p.outgoing && p.payload == kForged; });
}

Attacks::Barrier Attacks::talk(const std::string& from, const std::string& place, std::uint16_t port) const {
  return [this, from, place, port](const TalkOptions& options) { return tcp_talk(at(from), ip(place), port, options); };
}

bool Attacks::host_hears(const std::string& source) {
  return in_all_circumstances([&] { return host_hears_now(source); });
}

bool Attacks::host_hears_now(const std::string& source) {
  const Target server{"gateway n1", 7000};
  const auto port = forge("rogue", source, ip(server.place), server.port);
  EXPECT_TRUE(udp_talk(at("rogue"), ip(server.place), server.port).reached());
  const auto heard = setting_.heard_at(server, family(), Protocol::udp);
  const auto speaker = either(source, "[" + source + "]") + ":" + std::to_string(port);
  return std::find(heard.begin(), heard.end(), speaker) != heard.end();
}

void Attacks::expect_in_docs(const std::string& words) {
  const bool said = read_text(MB_SOURCE_DIR "/docs/security.md").find("| " + words + " |") != std::string::npos;
  EXPECT_TRUE(said) << "docs/security.md must name it as open: " << words;
}

}  // namespace mb::test
