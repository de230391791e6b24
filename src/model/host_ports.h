// SPDX-License-Identifier: GPL-2.0-or-later
//
// Ports of the host that belong to a container, as its supervisor is told them: the file "ports" in the container's
// directory.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/model/address.h"
#include "src/model/objects.h"
#include "src/model/port.h"

namespace mb {

struct HostPort {
  Protocol protocol = Protocol::tcp;
  IpAddress address;  // any() = every address of the host
  std::uint16_t port = 0;
  std::string interface;  // of the container, on the host
  auto operator<=>(const HostPort&) const = default;
};

// Sockets that hold such ports carry this mark (SO_MARK), by which they are told from those of programs.
inline constexpr std::uint32_t kHeldPortMark = 0x6d62686c;

// One line for each range: "tcp 0.0.0.0 8080-8089 mb3fa2c19b". Left out is port 53 on every address, alone
// or in a range, which the name servers of networks need as well.
std::string host_ports_text(const Container& container);

// Each port of the text alone. Ranges that would bring a family to more than `most` ports are left out; so is what is no such
// line, for a text that is being written may end anywhere.
std::vector<HostPort> parse_host_ports(std::string_view text, std::size_t most);

}  // namespace mb
