// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/container_options.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/draw.h"
#include "src/container/resolver_file.h"

namespace mb::cli {
namespace {

constexpr const char* kDefaultNetwork = "default";
constexpr const char* kDefaultBridge = "minibridge0";

// "NAME:ADDRESS", the address may hold colons.
HostEntry parse_host_entry(std::string_view text) {
  Scanner scan("host entry", text, "for example db:10.0.0.5");
  const auto name = scan.until(":");
  if (name.empty()) scan.fail("expected a name");
  if (name.find_first_of(" \t\n#") != std::string_view::npos) scan.fail_at(0, "a host name has no blanks");
  if (!scan.accept(':')) scan.fail("expected ':' and an address");
  return {std::string(name), IpAddress::parse(scan.rest())};
}

std::pair<std::string, std::string> parse_sysctl(std::string_view text) {
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

std::string checked_hostname(const std::string& text) {
  const Scanner scan("host name", text, "letters, digits and '-', up to 63 characters");
  if (text.size() > 63) scan.fail_at(63, "it is too long");
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '.' && c != '_') {
      scan.fail_at(i, fmt::format("unexpected '{}'", printable(text.substr(i, 1))));
    }
  }
  return text;
}

void settle_attachment(ContainerDraft& draft, const NetworkOptions& options, std::int64_t now) {
  auto networks = options.networks;
  if (networks.empty()) networks.emplace_back(kDefaultNetwork);
  for (const auto& network : networks) {
    if (network != "none" && network != "host") continue;
    if (networks.size() > 1) {
      throw Error(ErrorKind::usage, fmt::format("--network {} stands alone", network));
    }
    draft.add.container.attachment = network == "none" ? Attachment::none : Attachment::host;
    return;
  }
  for (const auto& network : networks) {
    if (network == kDefaultNetwork) draft.before.emplace_back(default_network(now));
    change::EndpointRequest request;
    request.network = network;
    request.host_link = draw_link_name();
    draft.add.endpoints.push_back(std::move(request));
  }
}

void settle_fixed(ContainerDraft& draft, const NetworkOptions& options) {
  if (options.ip.empty() && options.mac_address.empty()) return;
  if (draft.add.endpoints.size() != 1) {
    throw Error(ErrorKind::usage, "--ip and --mac-address need exactly one network", "name it with --network");
  }
  auto& endpoint = draft.add.endpoints.front();
  if (!options.ip.empty()) endpoint.address = IpAddress::parse(options.ip);
  if (!options.mac_address.empty()) endpoint.mac = MacAddress::parse(options.mac_address);
}

}  // namespace

void add_network_options(CLI::App& verb, NetworkOptions& options) {
  verb.add_option("--network", options.networks,
                  "a network to be in (repeatable), 'none' or 'host'; default: 'default'")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("-p,--publish", options.publish, "[ip:][hostport:]port[/tcp|udp|sctp], ranges with '-' (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("--ip", options.ip, "a fixed address");
  verb.add_option("--mac-address", options.mac_address, "a fixed MAC address");
  verb.add_option("-h,--hostname", options.hostname, "host name; default: the container's name");
  verb.add_option("--dns", options.dns, "a resolver instead of the host's (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("--dns-search", options.dns_search, "a search domain instead of the host's (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("--add-host", options.add_hosts, "NAME:ADDRESS for /etc/hosts (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("--sysctl", options.sysctls, "net.KEY=VALUE in its namespace (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
}

change::AddNetwork default_network(std::int64_t now) {
  change::AddNetwork add;
  add.id = draw_hex(12);
  add.name = Name::parse(kDefaultNetwork);
  add.bridge = InterfaceName::parse(kDefaultBridge);
  add.created_at = now;
  add.if_absent = true;
  return add;
}

ContainerDraft draft_container(const NetworkOptions& options, const Name& name, std::int64_t now) {
  ContainerDraft draft;
  auto& container = draft.add.container;
  container.id = draw_hex(12);
  container.name = name;
  container.hostname = options.hostname.empty() ? name.str() : checked_hostname(options.hostname);
  container.created_at = now;
  for (const auto& spec : options.publish) container.publish.push_back(PublishSpec::parse(spec));
  for (const auto& entry : options.add_hosts) container.extra_hosts.push_back(parse_host_entry(entry));
  for (const auto& sysctl : options.sysctls) container.sysctls.insert(parse_sysctl(sysctl));
  std::vector<IpAddress> servers;
  for (const auto& server : options.dns) servers.push_back(IpAddress::parse(server));
  container.resolv_conf = container::resolver_file(servers, options.dns_search);
  settle_attachment(draft, options, now);
  settle_fixed(draft, options);
  draft.add.draw = draw_number();
  return draft;
}

}  // namespace mb::cli
