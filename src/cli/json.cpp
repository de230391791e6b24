// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/json.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "src/base/text.h"
#include "src/plan/publish.h"

namespace mb::cli {
namespace {

using nlohmann::ordered_json;

// Bytes that are not UTF-8 (users may put any into names of files or commands) are replaced, never fatal.
std::string text_of(const ordered_json& value, int indent = 2) {
  return value.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

const Network* find_network(const std::vector<Network>& networks, const Id& id) {
  const auto found =
      std::find_if(networks.begin(), networks.end(), [&](const Network& network) { return network.id == id; });
  return found == networks.end() ? nullptr : &*found;
}

ordered_json address_or_null(const Endpoint& endpoint, Family family) {
  const auto* held = endpoint.address(family);
  return held != nullptr && held->address ? ordered_json(held->address->str()) : ordered_json();
}

bool has_address(const Endpoint& endpoint) {
  return std::any_of(endpoint.addresses.begin(), endpoint.addresses.end(),
                     [](const auto& held) { return held.address.has_value(); });
}

ordered_json gateway_or_null(const Network* network, Family family) {
  const auto* pool = network == nullptr ? nullptr : network->pool(family);
  return pool == nullptr ? ordered_json() : ordered_json(pool->gateway.str());
}

ordered_json range_or_null(const Network& network, Family family) {
  const auto* pool = network.pool(family);
  return pool != nullptr && pool->range ? ordered_json(pool->range->str()) : ordered_json();
}

ordered_json write_endpoint(const Endpoint& endpoint, const std::vector<Network>& networks) {
  const auto* network = find_network(networks, endpoint.network);
  return {{"name", network == nullptr ? endpoint.network : network->name.str()},
          {"ip", address_or_null(endpoint, Family::v4)},
          {"ip6", address_or_null(endpoint, Family::v6)},
          {"mac", has_address(endpoint) ? ordered_json(endpoint.mac().str()) : ordered_json()},
          {"gateway", gateway_or_null(network, Family::v4)},
          {"gateway6", gateway_or_null(network, Family::v6)}};
}

ordered_json write_port(const PublishedPort& port) {
  return {{"host_ip", port.host_address.str()},
          {"host_port", port.host_ports.first},
          {"container_port", port.container_ports.first},
          {"protocol", to_string(port.protocol)},
          {"count", port.host_ports.count()}};
}

ordered_json write_ports(const std::vector<PublishedPort>& ports) {
  auto list = ordered_json::array();
  for (const auto& port : ports) list.push_back(write_port(port));
  return list;
}

ordered_json write_container(const ContainerView& view, const std::vector<Network>& networks) {
  const auto& container = view.container;
  auto endpoints = ordered_json::array();
  for (const auto& endpoint : container.endpoints) endpoints.push_back(write_endpoint(endpoint, networks));
  auto ports = container.ports;
  for (const auto& port : plan::routed_ports(container, networks)) ports.push_back(port);
  return {
      {"id", container.id},
      {"name", container.name.str()},
      {"status", view.status},
      {"pid", view.status == "running" && container.init_pid != 0 ? ordered_json(container.init_pid) : ordered_json()},
      {"command", container.process.argv},
      {"networks", endpoints},
      {"ports", write_ports(ports)}};
}

ordered_json write_network(const Network& network) {
  const auto* v4 = network.pool(Family::v4);
  const auto* v6 = network.pool(Family::v6);
  return {{"id", network.id},
          {"name", network.name.str()},
          {"bridge", network.bridge.str()},
          {"subnet", v4 == nullptr ? ordered_json() : ordered_json(v4->subnet.str())},
          {"subnet6", v6 == nullptr ? ordered_json() : ordered_json(v6->subnet.str())},
          {"mode", to_string(network.mode)},
          {"internal", network.internal},
          {"icc", network.icc},
          {"masquerade", network.masquerade},
          {"snat_to", network.snat_to ? ordered_json(network.snat_to->str()) : ordered_json()}};
}

ordered_json write_error(const Error& error) {
  auto causes = ordered_json::array();
  for (const auto& cause : error.causes()) causes.push_back(write_error(cause));
  return {{"kind", to_string(error.kind())}, {"message", error.message()}, {"hint", error.hint()}, {"causes", causes}};
}

void describe_endpoint(ordered_json& object, const Endpoint& endpoint) {
  auto routes = ordered_json::array();
  for (const auto& held : endpoint.addresses) {
    if (held.default_route) routes.push_back(held.family == Family::v4 ? "ip" : "ip6");
  }
  object["interface"] = endpoint.name.str();
  object["host_interface"] = endpoint.host_link.str();
  object["aliases"] = endpoint.aliases;
  object["gateway_priority"] = endpoint.gateway_priority;
  object["default_route"] = routes;
  object["sysctls"] = endpoint.sysctls;
}

ordered_json write_deed(const Deed& deed) { return {{"kind", deed.kind}, {"text", deed.text}}; }

ordered_json time_or_null(std::int64_t seconds) { return seconds == 0 ? ordered_json() : ordered_json(seconds); }

}  // namespace

std::string json_of_ports(const std::vector<PublishedPort>& ports) { return text_of(write_ports(ports)); }

std::string json_of_containers(const std::vector<ContainerView>& containers, const std::vector<Network>& networks) {
  auto list = ordered_json::array();
  for (const auto& view : containers) list.push_back(write_container(view, networks));
  return text_of(list);
}

std::string json_of_networks(const std::vector<Network>& networks) {
  auto list = ordered_json::array();
  for (const auto& network : networks) list.push_back(write_network(network));
  return text_of(list);
}

std::string json_of_plan(const Plan& plan, const NameOf& name_of, const std::vector<Deed>& before,
                         const std::vector<Deed>& after) {
  auto steps = ordered_json::array();
  for (const auto& deed : before) steps.push_back(write_deed(deed));
  for (const auto& step : plan) {
    ordered_json entry = {{"kind", kind_name(step)}, {"text", print(step, name_of)}};
    const auto rules = print_rules(step);
    if (!rules.empty()) entry["rules"] = rules;
    steps.push_back(std::move(entry));
  }
  for (const auto& deed : after) steps.push_back(write_deed(deed));
  return text_of({{"steps", steps}});
}

std::string json_of_error(const Error& error) { return text_of({{"error", write_error(error)}}, -1); }

std::string json_of_rules(const std::vector<RuleView>& rules) {
  auto list = ordered_json::array();
  for (const auto& view : rules) {
    list.push_back({{"family", view.table.family == Family::v4 ? "ip" : "ip6"},
                    {"table", to_string(view.table.table)},
                    {"chain", view.chain},
                    {"rule", print(view.chain, view.rule)},
                    {"why", view.rule.why},
                    {"state", view.state}});
  }
  return text_of(list);
}

std::string json_of_findings(const std::vector<Finding>& findings) {
  auto list = ordered_json::array();
  for (const auto& finding : findings) {
    list.push_back({{"weight", to_string(finding.weight)},
                    {"kind", finding.kind},
                    {"seen", finding.seen},
                    {"why", finding.why},
                    {"mend", finding.mend.empty() ? ordered_json(nullptr) : ordered_json(finding.mend)}});
  }
  return text_of(list);
}

std::string describe(const ContainerView& view, const std::vector<Network>& networks, const std::string& state_dir) {
  const auto& container = view.container;
  ordered_json object = write_container(view, networks);
  auto publish = ordered_json::array();
  for (const auto& spec : container.publish) publish.push_back(spec.str());
  auto exposed = ordered_json::array();
  for (const auto& spec : container.exposed) exposed.push_back(spec.str());
  auto volumes = ordered_json::array();
  for (const auto& volume : container.process.volumes) {
    volumes.push_back(fmt::format("{}:{}{}", volume.host_path, volume.container_path, volume.read_only ? ":ro" : ""));
  }
  for (std::size_t i = 0; i < container.endpoints.size(); ++i) {
    describe_endpoint(object["networks"][i], container.endpoints[i]);
  }
  object["kind"] = "container";
  object["hostname"] = container.hostname;
  object["publish"] = publish;
  object["exposed"] = exposed;
  object["namespace"] = container.attachment == Attachment::host
                            ? ordered_json()
                            : ordered_json(fmt::format("{}/netns/{}", state_dir, container.id));
  object["namespace_source"] =
      container.kind == ContainerKind::foreign_netns ? ordered_json(container.namespace_source) : ordered_json();
  object["sysctls"] = container.sysctls;
  object["environment"] = container.process.environment;
  object["working_directory"] = container.process.working_directory;
  object["user"] = container.process.user;
  object["rootfs"] = container.process.rootfs;
  object["volumes"] = volumes;
  object["privileged"] = container.process.privileged;
  object["terminal"] = container.process.terminal;
  object["auto_remove"] = container.remove_when_ended;
  object["supervisor_pid"] = view.status == "running" ? ordered_json(container.supervisor_pid) : ordered_json();
  object["exit_status"] = container.exit_status ? ordered_json(*container.exit_status) : ordered_json();
  object["created_at"] = time_or_null(container.created_at);
  object["started_at"] = time_or_null(container.started_at);
  object["finished_at"] = time_or_null(container.finished_at);
  return text_of(object);
}

std::string describe(const Network& network, const std::vector<Container>& containers) {
  ordered_json object = write_network(network);
  object["kind"] = "network";
  object["gateway"] = gateway_or_null(&network, Family::v4);
  object["gateway6"] = gateway_or_null(&network, Family::v6);
  object["ip_range"] = range_or_null(network, Family::v4);
  object["ip_range6"] = range_or_null(network, Family::v6);
  auto reserved = ordered_json::array();
  for (const auto& pool : network.pools) {
    for (const auto& address : pool.reserved) reserved.push_back(address.str());
  }
  object["aux_addresses"] = reserved;
  object["mtu"] = network.mtu == 0 ? ordered_json() : ordered_json(network.mtu);
  object["labels"] = network.labels;
  object["adopted_bridge"] = network.adopted_bridge;
  object["created_at"] = time_or_null(network.created_at);
  auto members = ordered_json::array();
  for (const auto& container : containers) {
    for (const auto& endpoint : container.endpoints) {
      if (endpoint.network != network.id) continue;
      members.push_back({{"id", container.id},
                         {"name", container.name.str()},
                         {"ip", address_or_null(endpoint, Family::v4)},
                         {"ip6", address_or_null(endpoint, Family::v6)}});
    }
  }
  object["containers"] = members;
  return text_of(object);
}

std::string json_list(const std::vector<std::string>& objects) {
  auto list = ordered_json::array();
  for (const auto& object : objects) list.push_back(ordered_json::parse(object));
  return text_of(list);
}

std::string json_of_status(const std::string& name, int exit_status) {
  return text_of({{"name", name}, {"exit_status", exit_status}}, -1);
}

std::string json_of_labs(const std::vector<lab::Lab>& labs) {
  auto list = ordered_json::array();
  for (const auto& lab : labs) {
    ordered_json object = {{"name", lab.name.str()},
                           {"topology", lab.topology.name},
                           {"pid", lab.pid},
                           {"created_at", lab.since},
                           {"nodes", ordered_json::array()}};
    for (const auto& node : lab.topology.nodes) {
      auto addresses = ordered_json::array();
      for (const auto& address : lab.topology.addresses_of(node.name.str())) addresses.push_back(address.str());
      object["nodes"].push_back(
          {{"name", node.name.str()}, {"kind", std::string(to_string(node.kind))}, {"addresses", addresses}});
    }
    list.push_back(std::move(object));
  }
  return text_of(list);
}

std::string json_of_version(const std::string& version) { return text_of({{"version", version}}, -1); }

}  // namespace mb::cli
