// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/store/document.h"

#include <functional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "src/base/error.h"

namespace mb::store {
namespace {

using nlohmann::json;

template <class T>
json optional_text(const std::optional<T>& value) {
  return value ? json(value->str()) : json();
}

template <class T>
std::optional<T> optional_from(const json& value) {
  if (value.is_null()) return std::nullopt;
  return T::parse(value.get<std::string>());
}

json text_list(const auto& values) {
  json list = json::array();
  for (const auto& value : values) list.push_back(value.str());
  return list;
}

json write_pool(const AddressPool& pool) {
  return {{"subnet", pool.subnet.str()},
          {"gateway", pool.gateway.str()},
          {"range", optional_text(pool.range)},
          {"reserved", text_list(pool.reserved)}};
}

AddressPool read_pool(const json& from) {
  AddressPool pool;
  pool.subnet = Subnet::parse(from.at("subnet").get<std::string>());
  pool.gateway = IpAddress::parse(from.at("gateway").get<std::string>());
  pool.range = optional_from<Subnet>(from.at("range"));
  for (const auto& address : from.at("reserved")) pool.reserved.push_back(IpAddress::parse(address.get<std::string>()));
  return pool;
}

json write_endpoint(const Endpoint& endpoint) {
  json addresses = json::array();
  for (const auto& held : endpoint.addresses) {
    addresses.push_back({{"v6", held.family == Family::v6},
                         {"fixed", held.fixed},
                         {"address", optional_text(held.address)},
                         {"default_route", held.default_route}});
  }
  return {{"network", endpoint.network},
          {"host_link", endpoint.host_link.str()},
          {"name", endpoint.name.str()},
          {"addresses", addresses},
          {"fixed_mac", optional_text(endpoint.fixed_mac)},
          {"aliases", endpoint.aliases},
          {"gateway_priority", endpoint.gateway_priority},
          {"sysctls", endpoint.sysctls}};
}

Endpoint read_endpoint(const json& from) {
  Endpoint endpoint;
  endpoint.network = from.at("network");
  endpoint.host_link = InterfaceName::parse(from.at("host_link").get<std::string>());
  endpoint.name = InterfaceName::parse(from.at("name").get<std::string>());
  for (const auto& held : from.at("addresses")) {
    endpoint.addresses.push_back({held.at("v6").get<bool>() ? Family::v6 : Family::v4, held.at("fixed"),
                                  optional_from<IpAddress>(held.at("address")), held.at("default_route")});
  }
  endpoint.fixed_mac = optional_from<MacAddress>(from.at("fixed_mac"));
  endpoint.aliases = from.at("aliases").get<std::vector<std::string>>();
  endpoint.gateway_priority = from.at("gateway_priority");
  endpoint.sysctls = from.at("sysctls").get<std::map<std::string, std::string>>();
  return endpoint;
}

json write_process(const ProcessSpec& process) {
  json volumes = json::array();
  for (const auto& volume : process.volumes) {
    volumes.push_back(
        {{"host", volume.host_path}, {"container", volume.container_path}, {"read_only", volume.read_only}});
  }
  return {{"argv", process.argv},
          {"environment", process.environment},
          {"working_directory", process.working_directory},
          {"user", process.user},
          {"rootfs", process.rootfs},
          {"volumes", volumes},
          {"cap_add", process.cap_add},
          {"cap_drop", process.cap_drop},
          {"privileged", process.privileged},
          {"terminal", process.terminal},
          {"interactive", process.interactive}};
}

ProcessSpec read_process(const json& from) {
  ProcessSpec process;
  process.argv = from.at("argv");
  process.environment = from.at("environment");
  process.working_directory = from.at("working_directory");
  process.user = from.at("user");
  process.rootfs = from.at("rootfs");
  for (const auto& volume : from.at("volumes")) {
    process.volumes.push_back({volume.at("host"), volume.at("container"), volume.at("read_only")});
  }
  process.cap_add = from.at("cap_add").get<std::vector<std::string>>();
  process.cap_drop = from.at("cap_drop").get<std::vector<std::string>>();
  process.privileged = from.at("privileged");
  process.terminal = from.at("terminal");
  process.interactive = from.at("interactive");
  return process;
}

json write_port(const PublishedPort& port) {
  return {{"host_address", port.host_address.str()},
          {"host_ports", port.host_ports.str()},
          {"container_ports", port.container_ports.str()},
          {"protocol", to_string(port.protocol)}};
}

PublishedPort read_port(const json& from) {
  // The specification's own parser reads the ports back; the address is kept apart because "any" has no place in one.
  const auto text = fmt::format("{}:{}/{}", from.at("host_ports").get<std::string>(),
                                from.at("container_ports").get<std::string>(), from.at("protocol").get<std::string>());
  const auto spec = PublishSpec::parse(text);
  return {IpAddress::parse(from.at("host_address").get<std::string>()), *spec.host_ports, spec.container_ports,
          spec.protocol};
}

template <class T>
T understood(const std::string& document, const std::function<T(const json&)>& read) {
  try {
    return read(json::parse(document));
  } catch (const json::exception& problem) {
    throw Error(ErrorKind::failed, fmt::format("the state file holds a record that cannot be read: {}", problem.what()),
                "it was written by another version of minibridge, or is damaged");
  }
}

}  // namespace

std::string to_document(const Network& network) {
  json pools = json::array();
  for (const auto& pool : network.pools) pools.push_back(write_pool(pool));
  return json{{"id", network.id},
              {"name", network.name.str()},
              {"bridge", network.bridge.str()},
              {"pools", pools},
              {"mode", to_string(network.mode)},
              {"mtu", network.mtu},
              {"labels", network.labels},
              {"created_at", network.created_at},
              {"internal", network.internal},
              {"masquerade", network.masquerade},
              {"snat_to", optional_text(network.snat_to)},
              {"icc", network.icc},
              {"adopted_bridge", network.adopted_bridge},
              {"found_addresses", text_list(network.found_addresses)}}
      .dump();
}

Network network_from(const std::string& document) {
  return understood<Network>(document, [](const json& from) {
    Network network;
    network.id = from.at("id");
    network.name = Name::parse(from.at("name").get<std::string>());
    network.bridge = InterfaceName::parse(from.at("bridge").get<std::string>());
    for (const auto& pool : from.at("pools")) network.pools.push_back(read_pool(pool));
    network.mode = parse_network_mode(from.at("mode").get<std::string>());
    network.mtu = from.at("mtu");
    network.labels = from.at("labels").get<std::map<std::string, std::string>>();
    network.created_at = from.at("created_at");
    network.internal = from.at("internal");
    network.masquerade = from.at("masquerade");
    network.snat_to = optional_from<IpAddress>(from.at("snat_to"));
    network.icc = from.at("icc");
    network.adopted_bridge = from.at("adopted_bridge");
    for (const auto& address : from.at("found_addresses")) {
      network.found_addresses.push_back(IpAddress::parse(address.get<std::string>()));
    }
    return network;
  });
}

std::string to_document(const Container& container) {
  json endpoints = json::array();
  for (const auto& endpoint : container.endpoints) endpoints.push_back(write_endpoint(endpoint));
  json ports = json::array();
  for (const auto& port : container.ports) ports.push_back(write_port(port));
  json hosts = json::array();
  for (const auto& entry : container.extra_hosts)
    hosts.push_back({{"name", entry.name}, {"address", entry.address.str()}});
  return json{{"id", container.id},
              {"name", container.name.str()},
              {"kind", static_cast<int>(container.kind)},
              {"status", static_cast<int>(container.status)},
              {"attachment", static_cast<int>(container.attachment)},
              {"endpoints", endpoints},
              {"publish", text_list(container.publish)},
              {"exposed", text_list(container.exposed)},
              {"ports", ports},
              {"sysctls", container.sysctls},
              {"hostname", container.hostname},
              {"resolv_conf", container.resolv_conf},
              {"own_resolvers", container.own_resolvers},
              {"search_domains", container.search_domains},
              {"extra_hosts", hosts},
              {"remove_when_ended", container.remove_when_ended},
              {"namespace_source", container.namespace_source},
              {"process", write_process(container.process)},
              {"supervisor_pid", container.supervisor_pid},
              {"init_pid", container.init_pid},
              {"exit_status", container.exit_status ? json(*container.exit_status) : json()},
              {"created_at", container.created_at},
              {"started_at", container.started_at},
              {"finished_at", container.finished_at}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Container container_from(const std::string& document) {
  return understood<Container>(document, [](const json& from) {
    Container container;
    container.id = from.at("id");
    container.name = Name::parse(from.at("name").get<std::string>());
    container.kind = static_cast<ContainerKind>(from.at("kind").get<int>());
    container.status = static_cast<ContainerStatus>(from.at("status").get<int>());
    container.attachment = static_cast<Attachment>(from.at("attachment").get<int>());
    for (const auto& endpoint : from.at("endpoints")) container.endpoints.push_back(read_endpoint(endpoint));
    for (const auto& spec : from.at("publish"))
      container.publish.push_back(PublishSpec::parse(spec.get<std::string>()));
    for (const auto& spec : from.at("exposed"))
      container.exposed.push_back(PublishSpec::parse(spec.get<std::string>()));
    for (const auto& port : from.at("ports")) container.ports.push_back(read_port(port));
    container.sysctls = from.at("sysctls").get<std::map<std::string, std::string>>();
    container.hostname = from.at("hostname");
    container.resolv_conf = from.at("resolv_conf");
    container.own_resolvers = from.at("own_resolvers");
    container.search_domains = from.at("search_domains").get<std::vector<std::string>>();
    for (const auto& entry : from.at("extra_hosts")) {
      container.extra_hosts.push_back({entry.at("name"), IpAddress::parse(entry.at("address").get<std::string>())});
    }
    container.remove_when_ended = from.at("remove_when_ended");
    container.namespace_source = from.at("namespace_source");
    container.process = read_process(from.at("process"));
    container.supervisor_pid = from.at("supervisor_pid");
    container.init_pid = from.at("init_pid");
    if (!from.at("exit_status").is_null()) container.exit_status = from.at("exit_status").get<int>();
    container.created_at = from.at("created_at");
    container.started_at = from.at("started_at");
    container.finished_at = from.at("finished_at");
    return container;
  });
}

std::string to_document(const SysctlState& sysctl) {
  return json{{"value", sysctl.value}, {"related", sysctl.related}}.dump();
}

SysctlState sysctl_from(const std::string& document) {
  return understood<SysctlState>(document, [](const json& from) {
    return SysctlState{from.at("value"), from.at("related").get<std::map<std::string, std::string>>()};
  });
}

}  // namespace mb::store
