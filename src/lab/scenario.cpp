// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/scenario.h"

#include <algorithm>
#include <cerrno>
#include <iterator>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb::lab {
namespace {

std::string port_text(const PortPattern& port) {
  switch (port.kind) {
    case PortPattern::any: return "*";
    case PortPattern::number: return std::to_string(port.value);
    case PortPattern::same: return "same";
    case PortPattern::other: return "other";
  }
  return "*";
}

std::string bracketed(const IpAddress& address) {
  return address.family() == Family::v6 ? fmt::format("[{}]", address.str()) : address.str();
}

std::string end_text(const Listen& listen) {
  if (listen.address.is_any()) return std::to_string(listen.port);
  const bool v6 = listen.address.family() == Family::v6;
  return fmt::format(fmt::runtime(v6 ? "[{}]:{}" : "{}:{}"), listen.address.str(), listen.port);
}

}  // namespace

std::string AddressPattern::str() const {
  if (port.kind == PortPattern::any) return address ? address->str() : "*";
  return fmt::format("{}:{}", address ? bracketed(*address) : "*", port_text(port));
}

std::string IcmpPattern::str() const { return code ? fmt::format("{}/{}", type, *code) : std::to_string(type); }

std::string tcp_flags_text(std::uint8_t flags) {
  std::vector<std::string> names;
  for (std::size_t bit = 0; bit < kTcpFlagNames.size(); ++bit) {
    if ((flags >> bit & 1) != 0) names.emplace_back(kTcpFlagNames[bit]);
  }
  return names.empty() ? "no flags" : join(names, " ");
}

std::string_view to_string(RequestProtocol protocol) {
  switch (protocol) {
    case RequestProtocol::tcp: return "tcp";
    case RequestProtocol::udp: return "udp";
    case RequestProtocol::icmp: return "icmp";
  }
  return "tcp";
}

std::string_view to_string(Direction direction) { return direction == Direction::in ? "in" : "out"; }

std::string_view to_string(Need need) {
  switch (need) {
    case Need::ids: return "ids";
    case Need::br_netfilter: return "br_netfilter";
    case Need::kernel_log: return "kernel_log";
  }
  return "ids";
}

std::string Outcome::str() const {
  switch (kind) {
    case reached: return "reached";
    case dropped: return "dropped";
    case error: return error_number == ECONNREFUSED ? "refused" : errno_name(error_number);
  }
  return "reached";
}

std::string Request::target() const { return to_port == 0 ? to.str() : fmt::format("{}:{}", bracketed(to), to_port); }

std::string echo_command(const std::vector<Listen>& listen) {
  std::string command = "minibridge echo";
  const bool udp =
      std::any_of(listen.begin(), listen.end(), [](const Listen& each) { return each.protocol == Protocol::udp; });
  std::vector<std::string> ends;
  std::transform(listen.begin(), listen.end(), std::back_inserter(ends), end_text);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  for (const auto& end : ends) command += " --listen " + end;
  return udp ? command + " --udp" : command;
}

}  // namespace mb::lab
