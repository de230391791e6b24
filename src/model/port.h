// SPDX-License-Identifier: GPL-2.0-or-later
//
// Published ports: what the user typed (PublishSpec) and what it came to (PublishedPort).
//
//   [ip:][hostport[-hostport]:]containerport[-containerport][/tcp|udp|sctp]        an IPv6 address in brackets
//
// Ranges map one to one. Without a host port the system picks a free one.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "src/model/address.h"

namespace mb {

// The values are the protocol numbers of IP (IANA).
enum class Protocol : std::uint8_t { tcp = 6, udp = 17, sctp = 132 };

// "tcp", "udp" or "sctp".
std::string_view to_string(Protocol protocol);

// Ports first..last, 1 to 65535, first <= last.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  std::uint32_t count() const { return static_cast<std::uint32_t>(last) - first + 1; }
  bool overlaps(const PortRange& other) const { return first <= other.last && other.first <= last; }
  bool contains(std::uint16_t port) const { return first <= port && port <= last; }
  std::string str() const;  // "80" or "80-89"
  auto operator<=>(const PortRange&) const = default;
};

struct PublishSpec {
  std::optional<IpAddress> host_address;
  std::optional<PortRange> host_ports;
  PortRange container_ports;
  Protocol protocol = Protocol::tcp;

  // Throws Error(usage): port 0 or above 65535, reversed range, ranges of unequal lengths, unknown protocol …
  static PublishSpec parse(std::string_view text);
  std::string str() const;
  auto operator<=>(const PublishSpec&) const = default;
};

// A publish specification with its host ports settled.
struct PublishedPort {
  IpAddress host_address;  // any() = every address of the host
  PortRange host_ports;
  PortRange container_ports;  // as many as host_ports
  Protocol protocol = Protocol::tcp;

  // Both would take the same port of the same address.
  bool collides_with(const PublishedPort& other) const;
  // Whether it is (one of) what the specification came to.
  bool comes_from(const PublishSpec& spec) const;
  // "8080 -> 80/tcp", "127.0.0.1:8081 -> 80/tcp", "9000-9999 -> 2000-2999/tcp".
  std::string str() const;
  auto operator<=>(const PublishedPort&) const = default;
};

}  // namespace mb
