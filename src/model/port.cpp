// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/port.h"

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb {
namespace {

constexpr std::string_view kForm =
    "[ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/tcp|udp|sctp], for example 8080:80 or "
    "127.0.0.1:9000-9009:80-89/udp";

PortRange parse_range(Scanner& scan) {
  const std::size_t start = scan.offset();
  PortRange range;
  range.first = static_cast<std::uint16_t>(scan.number("a port", 1, 65535));
  range.last = range.first;
  if (scan.accept('-')) {
    range.last = static_cast<std::uint16_t>(scan.number("a port", 1, 65535));
    if (range.last < range.first) {
      scan.fail_at(start, fmt::format("the range {}-{} is reversed", range.first, range.last));
    }
  }
  return range;
}

Protocol parse_protocol(Scanner& scan) {
  if (scan.accept("tcp")) return Protocol::tcp;
  if (scan.accept("udp")) return Protocol::udp;
  if (scan.accept("sctp")) return Protocol::sctp;
  scan.fail("expected tcp, udp or sctp");
}

// The address in front of the ports, if there is one: "127.0.0.1:" or "[::1]:".
std::optional<IpAddress> parse_host_address(Scanner& scan) {
  const auto rest = scan.rest();
  if (scan.accept('[')) {
    const auto address = IpAddress::parse(scan.until("]"));
    if (address.family() != Family::v6) scan.fail_at(1, "brackets are for IPv6 addresses");
    scan.expect(']');
    scan.expect(':');
    return address;
  }
  const auto first = rest.substr(0, rest.find(':'));
  if (first.size() == rest.size() || first.find('.') == std::string_view::npos) return std::nullopt;
  const auto address = IpAddress::parse(scan.until(":"));
  scan.expect(':');
  return address;
}

std::string host_text(const IpAddress& address) {
  return address.family() == Family::v6 ? fmt::format("[{}]:", address.str()) : address.str() + ":";
}

}  // namespace

std::string_view to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::tcp: return "tcp";
    case Protocol::udp: return "udp";
    case Protocol::sctp: return "sctp";
  }
  return "tcp";
}

std::string PortRange::str() const {
  return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

PublishSpec PublishSpec::parse(std::string_view text) {
  Scanner scan("publish specification", text, kForm);
  PublishSpec spec;
  spec.host_address = parse_host_address(scan);
  // "IP::80" leaves the host port to the system.
  if (!(spec.host_address && scan.accept(':'))) {
    const auto range = parse_range(scan);
    if (scan.accept(':')) {
      spec.host_ports = range;
    } else {
      spec.container_ports = range;
    }
  }
  const std::size_t container_at = scan.offset();
  if (spec.container_ports.first == 0) spec.container_ports = parse_range(scan);
  if (scan.accept('/')) spec.protocol = parse_protocol(scan);
  scan.expect_end();
  if (spec.host_ports && spec.host_ports->count() != spec.container_ports.count()) {
    scan.fail_at(
        container_at,
        fmt::format("{} host ports for {} container ports", spec.host_ports->count(), spec.container_ports.count()),
        "ranges map one to one, so both must have the same length");
  }
  return spec;
}

std::string PublishSpec::str() const {
  return fmt::format("{}{}{}/{}", host_address ? host_text(*host_address) : "",
                     host_ports     ? host_ports->str() + ":"
                     : host_address ? ":"
                                    : "",
                     container_ports.str(), to_string(protocol));
}

bool PublishedPort::collides_with(const PublishedPort& other) const {
  const bool same_address =
      host_address == other.host_address ||
      (host_address.family() == other.host_address.family() && (host_address.is_any() || other.host_address.is_any()));
  return same_address && protocol == other.protocol && host_ports.overlaps(other.host_ports);
}

bool PublishedPort::comes_from(const PublishSpec& spec) const {
  return protocol == spec.protocol && container_ports == spec.container_ports &&
         (!spec.host_ports || *spec.host_ports == host_ports) &&
         (spec.host_address ? *spec.host_address == host_address : host_address.is_any());
}

std::string PublishedPort::str() const {
  return fmt::format("{}{} -> {}/{}", host_address == IpAddress::any(Family::v4) ? "" : host_text(host_address),
                     host_ports.str(), container_ports.str(), to_string(protocol));
}

}  // namespace mb
