// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/endpoint_options.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/draw.h"

namespace mb::cli {
namespace {

constexpr const char* kWords = "name, ip, ip6, alias, mac-address, gw-priority and sysctl";

IpAddress address_of(const std::string& text, Family family) {
  const auto address = IpAddress::parse(text);
  if (address.family() == family) return address;
  throw Error(ErrorKind::usage, fmt::format("'{}' is not an {} address", text, to_string(family)),
              family == Family::v4 ? "ip6 is for IPv6 addresses" : "ip is for IPv4 addresses");
}

std::int32_t parse_priority(const std::string& text) {
  std::int32_t priority = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, priority);
  if (parsed.ec == std::errc() && parsed.ptr == end) return priority;
  throw Error(ErrorKind::usage, fmt::format("'{}' is not a gateway priority", printable(text)),
              "a whole number; the network with the highest one gets the default route");
}

std::pair<std::string, std::string> split_sysctl(std::string_view text) {
  Scanner scan("sysctl", text);
  const std::string key(scan.until("="));
  const std::string rule =
      "sysctls of a network namespace begin with net., for example net.ipv4.ip_unprivileged_port_start=0";
  if (!key.starts_with("net.") && !key.starts_with("net/"))
    scan.fail_at(0, "only net.… belongs to a container's network", rule);
  if (key.find("..") != std::string::npos || key.find_first_of(" \t\n") != std::string::npos || key.ends_with('.')) {
    scan.fail_at(0, "the key is malformed", rule);
  }
  scan.expect('=');
  return {key, std::string(scan.rest())};
}

bool names_interface(std::string_view key) {
  const auto parts = split(key, key.find('/') == std::string_view::npos ? '.' : '/');
  return std::count(parts.begin(), parts.end(), kInterfacePlaceholder) == 1;
}

std::pair<std::string, std::string> parse_endpoint_sysctl(std::string_view text) {
  auto sysctl = split_sysctl(text);
  if (names_interface(sysctl.first)) return sysctl;
  Scanner scan("sysctl", text);
  scan.fail_at(0, "the key does not name the interface",
               "IFNAME stands for it, for example net.ipv4.conf.IFNAME.log_martians=1");
}

void set_once(std::string& place, std::string_view value, Scanner& scan, std::size_t at) {
  if (!place.empty()) scan.fail_at(at, "it is given twice");
  place = value;
}

void take_word(EndpointOptions& options, Scanner& scan) {
  const auto at = scan.offset();
  const auto key = scan.until("=,");
  if (key.empty() && scan.peek() == '=') {
    scan.fail_at(at, "the word before '=' is missing", fmt::format("the words are {}", kWords));
  }
  if (!scan.accept('=')) scan.fail_at(at, "expected WORD=VALUE", fmt::format("the words are {}", kWords));
  const auto value_at = scan.offset();
  const auto value = scan.until(",");
  if (value.empty()) scan.fail_at(value_at, "expected a value");
  if (key == "name") return set_once(options.network, value, scan, at);
  if (key == "ip") return set_once(options.ip, value, scan, at);
  if (key == "ip6") return set_once(options.ip6, value, scan, at);
  if (key == "mac-address") return set_once(options.mac_address, value, scan, at);
  if (key == "gw-priority") return set_once(options.gateway_priority, value, scan, at);
  if (key == "alias") {
    options.aliases.emplace_back(value);
  } else if (key == "sysctl") {
    options.sysctls.emplace_back(value);
  } else {
    scan.fail_at(at, fmt::format("unknown word '{}'", printable(key)), fmt::format("the words are {}", kWords));
  }
}

// One part of a host name (RFC 1123, section 2.1), with the '_' that names of containers may have.
void check_label(std::string_view label, std::size_t at, const Scanner& scan) {
  const auto is_alphanumeric = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  if (label.empty()) scan.fail_at(at, "a part of it is empty");
  for (std::size_t i = 0; i < label.size(); ++i) {
    const bool inside = i > 0 && i + 1 < label.size();
    const bool fine = is_alphanumeric(label[i]) || (inside && (label[i] == '-' || label[i] == '_'));
    if (!fine) scan.fail_at(at + i, fmt::format("unexpected '{}'", printable(label.substr(i, 1))));
  }
}

}  // namespace

EndpointOptions parse_network_words(const std::string& text) {
  EndpointOptions options;
  if (text.find_first_of("=,") == std::string::npos) {
    options.network = text;
    return options;
  }
  Scanner scan("network", text, "for example name=backend,ip=10.20.0.5,gw-priority=1");
  do take_word(options, scan);
  while (scan.accept(','));
  if (options.network.empty()) scan.fail_at(0, "the network's name is missing");
  return options;
}

change::EndpointRequest endpoint_request(const EndpointOptions& options) {
  change::EndpointRequest request;
  request.network = options.network;
  request.host_link = draw_link_name();
  if (!options.ip.empty()) request.addresses.push_back(address_of(options.ip, Family::v4));
  if (!options.ip6.empty()) request.addresses.push_back(address_of(options.ip6, Family::v6));
  if (!options.mac_address.empty()) request.mac = MacAddress::parse(options.mac_address);
  for (const auto& alias : options.aliases) request.aliases.push_back(parse_host_name(alias));
  if (!options.gateway_priority.empty()) request.gateway_priority = parse_priority(options.gateway_priority);
  for (const auto& sysctl : options.sysctls) request.sysctls.insert(parse_endpoint_sysctl(sysctl));
  return request;
}

std::pair<std::string, std::string> parse_sysctl(std::string_view text) {
  auto sysctl = split_sysctl(text);
  if (!names_interface(sysctl.first)) return sysctl;
  Scanner scan("sysctl", text);
  scan.fail_at(0, "IFNAME stands for no interface here", "give it in --network name=NAME,sysctl=KEY=VALUE");
}

std::string parse_host_name(const std::string& text) {
  const Scanner scan(
      "host name", text,
      "letters, digits, '-' and '_', in parts between dots that begin and end with a letter or digit, up to "
      "63 characters");
  if (text.empty()) scan.fail_at(0, "it is empty");
  if (text.size() > 63) scan.fail_at(63, "it is too long");
  std::size_t at = 0;
  for (const auto label : split(text, '.')) {
    check_label(label, at, scan);
    at += label.size() + 1;
  }
  return text;
}

}  // namespace mb::cli
