// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/host_ports.h"

#include <map>
#include <optional>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb {
namespace {

struct Line {
  Protocol protocol = Protocol::tcp;
  IpAddress address;
  PortRange ports;
  std::string interface;
};

std::optional<Line> parse_line(std::string_view text) {
  const auto words = split(text, ' ');
  if (words.size() != 4) return std::nullopt;
  try {
    const auto spec = PublishSpec::parse(fmt::format("{}/{}", words[2], words[0]));
    return Line{spec.protocol, IpAddress::parse(words[1]), spec.container_ports, std::string(words[3])};
  } catch (const Error&) {
    return std::nullopt;
  }
}

// The name server of a network answers on its gateway, and one that starts must find its port there.
std::vector<PortRange> without_port_of_names(const PublishedPort& port) {
  constexpr std::uint16_t kDomain = 53;
  const auto& all = port.host_ports;
  if (!port.host_address.is_any() || !all.contains(kDomain)) return {all};
  std::vector<PortRange> parts;
  if (all.first < kDomain) parts.push_back({all.first, kDomain - 1});
  if (all.last > kDomain) parts.push_back({kDomain + 1, all.last});
  return parts;
}

}  // namespace

std::string host_ports_text(const Container& container) {
  std::string text;
  for (const auto& port : container.ports) {
    for (const auto& range : without_port_of_names(port)) {
      text += fmt::format("{} {} {} {}\n", to_string(port.protocol), port.host_address.str(), range.str(),
                          container.endpoints.front().host_link.str());
    }
  }
  return text;
}

std::vector<HostPort> parse_host_ports(std::string_view text, std::size_t most) {
  std::vector<HostPort> ports;
  std::map<Family, std::size_t> counts;
  for (const auto each : split(text, '\n')) {
    const auto line = parse_line(each);
    if (!line) continue;
    auto& count = counts[line->address.family()];
    if (count + line->ports.count() > most) continue;
    count += line->ports.count();
    for (std::uint32_t port = line->ports.first; port <= line->ports.last; ++port) {
      ports.push_back({line->protocol, line->address, static_cast<std::uint16_t>(port), line->interface});
    }
  }
  return ports;
}

}  // namespace mb
