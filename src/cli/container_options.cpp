// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/container_options.h"

#include <algorithm>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/draw.h"
#include "src/cli/endpoint_options.h"
#include "src/container/resolver_file.h"

namespace mb::cli {
namespace {

constexpr const char* kDefaultBridge = "minibridge0";

constexpr std::string_view kHostGateway = "host-gateway";  // docker's word

// "NAME:ADDRESS", the address may hold colons; or "NAME:host-gateway".
void add_host_entry(ContainerDraft& draft, std::string_view text) {
  Scanner scan("host entry", text, "for example db:10.0.0.5");
  const auto name = scan.until(":");
  if (name.empty()) scan.fail("expected a name");
  if (name.find_first_of(" \t\n#") != std::string_view::npos) scan.fail_at(0, "a host name has no blanks");
  if (!scan.accept(':')) scan.fail("expected ':' and an address");
  if (scan.rest() == kHostGateway) {
    draft.names_of_gateway.emplace_back(name);
  } else {
    draft.add.container.extra_hosts.push_back({std::string(name), IpAddress::parse(scan.rest())});
  }
}

PublishSpec parse_exposed(const std::string& text) {
  if (text.find_first_of(":[") != std::string::npos) {
    throw Error(ErrorKind::usage,
                fmt::format("'{}' is not a port to expose: it names one of the host", printable(text)),
                "--expose takes ports of the container; --publish takes both");
  }
  try {
    return PublishSpec::parse(text);
  } catch (const Error& error) {
    // A port of the container is what is left of a publish specification without the host's part, so its parser knows
    // what is wrong; only what the word was meant to be differs.
    constexpr std::string_view kMeant = "is not a publish specification";
    auto message = error.message();
    if (const auto at = message.rfind(kMeant); at != std::string::npos) {
      message.replace(at, kMeant.size(), "is not a port to expose");
    }
    throw Error(error.kind(), message, "PORT[-PORT][/tcp|udp|sctp], for example 80 or 8000-8010/udp");
  }
}

// Whether every port that is exposed is published already, under a host port of its own choice or none.
bool is_published(const Container& container, const PublishSpec& exposed) {
  return std::any_of(container.publish.begin(), container.publish.end(), [&](const PublishSpec& spec) {
    return spec.protocol == exposed.protocol && spec.container_ports.contains(exposed.container_ports.first) &&
           spec.container_ports.contains(exposed.container_ports.last);
  });
}

void expose(Container& container, const NetworkOptions& options) {
  for (const auto& text : options.expose) container.exposed.push_back(parse_exposed(text));
  if (!options.publish_all) return;
  if (options.expose.empty()) {
    throw Error(ErrorKind::usage, "--publish-all has nothing to publish", "--expose names the container's ports");
  }
  for (const auto& exposed : container.exposed) {
    if (!is_published(container, exposed)) container.publish.push_back(exposed);
  }
}

// Options that stand for themselves, not in the words of one --network.
bool has_plain_options(const NetworkOptions& options) {
  return !options.ip.empty() || !options.ip6.empty() || !options.mac_address.empty() || !options.aliases.empty();
}

// --ip and the like belong to the one network there is.
void add_plain_options(EndpointOptions& endpoint, const NetworkOptions& options) {
  if (endpoint != EndpointOptions{endpoint.network}) {
    throw Error(ErrorKind::usage,
                "--ip, --ip6, --mac-address and --network-alias are given beside a --network with options of its own",
                "write all of them in its words: --network name=NAME,ip=…,alias=…");
  }
  endpoint.ip = options.ip;
  endpoint.ip6 = options.ip6;
  endpoint.mac_address = options.mac_address;
  endpoint.aliases = options.aliases;
}

std::vector<EndpointOptions> endpoints_of(const NetworkOptions& options) {
  std::vector<EndpointOptions> endpoints;
  for (const auto& words : options.networks) endpoints.push_back(parse_network_words(words));
  if (endpoints.empty()) endpoints.push_back({std::string(kDefaultNetwork)});
  if (!has_plain_options(options)) return endpoints;
  if (endpoints.size() != 1) {
    throw Error(ErrorKind::usage, "--ip, --ip6, --mac-address and --network-alias need exactly one network",
                "with several, write them in the words of one: --network name=NAME,ip=…,alias=…");
  }
  add_plain_options(endpoints.front(), options);
  return endpoints;
}

void settle_attachment(ContainerDraft& draft, const NetworkOptions& options, std::int64_t now) {
  const auto endpoints = endpoints_of(options);
  for (const auto& endpoint : endpoints) {
    const auto& network = endpoint.network;
    if (network != "none" && network != "host") continue;
    if (endpoints.size() > 1) throw Error(ErrorKind::usage, fmt::format("--network {} stands alone", network));
    if (endpoint != EndpointOptions{network}) {
      throw Error(ErrorKind::usage, fmt::format("--network {} has no address, name or sysctl of its own", network));
    }
    draft.add.container.attachment = network == "none" ? Attachment::none : Attachment::host;
    return;
  }
  for (const auto& endpoint : endpoints) {
    if (endpoint.network == kDefaultNetwork) draft.before.emplace_back(default_network(now));
    draft.add.endpoints.push_back(endpoint_request(endpoint));
  }
}

}  // namespace

void add_network_options(CLI::App& verb, NetworkOptions& options) {
  verb.add_option("--network", options.networks,
                  "a network to be in (repeatable), 'none' or 'host'; default: 'default'. With options of its own: "
                  "name=NAME,ip=A,ip6=A,alias=N,mac-address=M,gw-priority=P,sysctl=K=V")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("-p,--publish", options.publish, "[ip:][hostport:]port[/tcp|udp|sctp], ranges with '-' (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("--expose", options.expose, "port[-port][/tcp|udp|sctp] that --publish-all publishes (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_flag("-P,--publish-all", options.publish_all, "publish all exposed ports on free ports of the host");
  verb.add_option("--ip", options.ip, "a fixed IPv4 address");
  verb.add_option("--ip6", options.ip6, "a fixed IPv6 address");
  verb.add_option("--network-alias", options.aliases, "a further name in its network (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("--mac-address", options.mac_address, "a fixed MAC address");
  verb.set_help_flag("--help", "show this help");  // -h is docker's short form of --hostname
  verb.add_option("-h,--hostname", options.hostname, "host name; default: the container's name");
  verb.add_option("--dns", options.dns, "a resolver instead of the host's (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("--dns-search", options.dns_search, "a search domain instead of the host's (repeatable)")
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option("--add-host", options.add_hosts,
                  "NAME:ADDRESS for /etc/hosts, or NAME:host-gateway for the host itself (repeatable)")
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
  container.hostname = options.hostname.empty() ? name.str() : parse_host_name(options.hostname);
  container.created_at = now;
  for (const auto& spec : options.publish) container.publish.push_back(PublishSpec::parse(spec));
  expose(container, options);
  for (const auto& entry : options.add_hosts) add_host_entry(draft, entry);
  for (const auto& sysctl : options.sysctls) container.sysctls.insert(parse_sysctl(sysctl));
  std::vector<IpAddress> servers;
  for (const auto& server : options.dns) servers.push_back(IpAddress::parse(server));
  container.resolv_conf = container::resolver_file(servers, options.dns_search);
  container.own_resolvers = !servers.empty();
  container.search_domains = options.dns_search;
  settle_attachment(draft, options, now);
  if (!draft.names_of_gateway.empty() && draft.add.endpoints.empty()) {
    throw Error(ErrorKind::usage, "host-gateway needs a network: it is the address of the host there",
                "with --network host it is 127.0.0.1; with --network none nothing leads to the host");
  }
  draft.add.draw = draw_number();
  return draft;
}

}  // namespace mb::cli
