// SPDX-License-Identifier: GPL-2.0-or-later
//
// Two passes over a file: read what it says, piece by piece, then look at what only shows in the whole (names, addresses
// and gateways across nodes and links).
#include "src/lab/topology.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "src/base/text.h"

namespace mb::lab {
namespace {

constexpr std::size_t kMostNodes = 1000;

InterfaceAddress parse_interface_address(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) {
    throw Error(ErrorKind::usage, fmt::format("'{}' is not an address with a prefix length", printable(text)),
                fmt::format("for example {}/24", text));
  }
  InterfaceAddress result;
  result.address = IpAddress::parse(text.substr(0, slash));
  Scanner scan("address with a prefix length", text, "for example 192.168.56.3/24");
  scan.until("/");
  scan.expect('/');
  result.prefix = static_cast<int>(
      scan.number("a prefix length", 1, static_cast<std::uint32_t>(address_bits(result.address.family()))));
  scan.expect_end();
  if (result.address.is_any() || result.address.is_multicast()) {
    throw Error(ErrorKind::usage, fmt::format("'{}' cannot be the address of an interface", text));
  }
  return result;
}

Name parse_name(std::string_view text) { return Name::parse(text); }
InterfaceName parse_interface(std::string_view text) { return InterfaceName::parse(text); }
IpAddress parse_ip(std::string_view text) { return IpAddress::parse(text); }
Subnet parse_subnet(std::string_view text) { return Subnet::parse(text); }
MacAddress parse_mac(std::string_view text) { return MacAddress::parse(text); }

// Host names in /etc/hosts end at white space, and '#' begins a comment.
std::string parse_host_name(std::string_view text) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  if (text.empty() || text.size() > 253 || text.find_first_not_of(kAllowed) != std::string_view::npos) {
    throw Error(ErrorKind::usage, fmt::format("'{}' is not a host name", printable(text)));
  }
  return std::string(text);
}

std::string text_or(const Mapping& map, std::string_view key, const std::string& otherwise = {}) {
  const Value* value = map.optional(key);
  return value == nullptr ? otherwise : value->text();
}

// Every item of a list under `key`, or the one value there; none without the key.
template <class Read>
auto read_all(const Mapping& map, std::string_view key, Read read) {
  std::vector<decltype(read(std::declval<const Value&>()))> all;
  if (const Value* value = map.optional(key)) {
    for (const Value& each : value->one_or_more()) all.push_back(read(each));
  }
  return all;
}

// ---- a node

Subnet route_destination(const Value& value, const std::optional<IpAddress>& via) {
  if (value.text() != "default") return value.as(parse_subnet);
  return {IpAddress::any(via ? via->family() : Family::v4), 0};
}

Route read_route(const Value& value) {
  const Mapping map(value, "a route", {"to", "via", "interface", "source"});
  Route route;
  if (const Value* via = map.optional("via")) route.via = via->as(parse_ip);
  if (const Value* interface = map.optional("interface")) route.interface = interface->as(parse_interface);
  if (const Value* source = map.optional("source")) route.source = source->as(parse_ip);
  route.to = route_destination(map.required("to"), route.via);
  if (!route.via && !route.interface) value.fail("a route needs 'via' or 'interface'");
  if (route.via && route.via->family() != route.to.family()) {
    map.required("via").fail(fmt::format("'{}' and '{}' are of different families", route.via->str(), route.to.str()));
  }
  if (route.source && route.source->family() != route.to.family()) {
    map.required("source").fail(
        fmt::format("'{}' and '{}' are of different families", route.source->str(), route.to.str()));
  }
  return route;
}

std::vector<Sysctl> read_sysctls(const Value& value) {
  std::vector<Sysctl> all;
  for (const Entry& entry : value.entries()) {
    const std::string& name = entry.key.text();
    // The others belong to the whole machine.
    if (!name.starts_with("net.") || name.find("..") != std::string::npos || name.find('/') != std::string::npos) {
      entry.key.fail(fmt::format("'{}' is not a network sysctl", printable(name)), "for example net.ipv4.ip_forward");
    }
    all.push_back({name, entry.value.text(), entry.key.where()});
  }
  return all;
}

std::string name_of_echo(const std::vector<Listen>& listens) {
  return fmt::format("echo-{}", listens.empty() ? 0 : listens.front().port);
}

Service read_service(const Value& value) {
  const Mapping map(value, "a service", {"name", "echo", "command"});
  if (map.has("echo") == map.has("command")) value.fail("a service needs either 'echo' or 'command'");
  Service service;
  service.where = value.where();
  service.echo = read_all(map, "echo", [](const Value& each) { return each.as(parse_listen); });
  service.command = read_all(map, "command", [](const Value& each) { return each.text(); });
  if (service.echo.empty() && service.command.empty()) value.fail("this service does nothing");
  service.name = text_or(map, "name", service.command.empty() ? name_of_echo(service.echo) : service.command.front());
  return service;
}

std::vector<Service> read_services(const Mapping& map) {
  std::vector<Service> services;
  std::set<std::string> names;
  const Value* list = map.optional("services");
  if (list == nullptr) return services;
  for (const Value& each : list->items()) {
    services.push_back(read_service(each));
    const std::string& name = services.back().name;
    if (!names.insert(name).second)
      each.fail(fmt::format("this node has two services '{}'", name), "give one a 'name'");
  }
  return services;
}

Nat read_nat(const Value& value) {
  const Mapping map(value, "an address translation", {"from", "out"});
  Nat nat{map.required("from").as(parse_subnet), map.required("out").as(parse_interface)};
  return nat;
}

NodeKind read_kind(const Value* value) {
  if (value == nullptr || value->text() == "host") return NodeKind::host;
  if (value->text() == "router") return NodeKind::router;
  value->fail(fmt::format("'{}' is not a kind of node", printable(value->text())), "host or router");
}

Node read_node(const Entry& entry) {
  Node node;
  node.name = entry.key.as(parse_name);
  if (entry.value.kind() == Value::Kind::nothing) return node;
  const Mapping map(entry.value, "a node",
                    {"about", "kind", "routes", "sysctls", "services", "nat", "aliases", "setup"});
  node.about = text_or(map, "about");
  node.kind = read_kind(map.optional("kind"));
  node.routes = read_all(map, "routes", read_route);
  if (const Value* sysctls = map.optional("sysctls")) node.sysctls = read_sysctls(*sysctls);
  node.services = read_services(map);
  node.nat = read_all(map, "nat", read_nat);
  if (!node.nat.empty() && node.kind != NodeKind::router) {
    map.required("nat").fail("only a node of kind 'router' translates addresses",
                             "in a host the tables are left to whoever works there");
  }
  node.setup = read_all(map, "setup", [](const Value& each) { return SetupCommand{each.text(), each.where()}; });
  node.aliases = read_all(map, "aliases", [](const Value& each) { return each.as(parse_host_name); });
  return node;
}

// ---- a link

End read_end(const Value& value) {
  const Mapping map(value, "an end", {"node", "interface", "mac", "addresses"});
  End end;
  end.node = map.required("node").as(parse_name);
  end.interface = map.required("interface").as(parse_interface);
  if (end.interface.str() == "lo") map.required("interface").fail("every node has its own 'lo' already");
  if (const Value* mac = map.optional("mac")) end.mac = mac->as(parse_mac);
  end.addresses = read_all(map, "addresses", [](const Value& each) { return each.as(parse_interface_address); });
  return end;
}

std::string name_of_link(const Link& link) {
  std::vector<std::string> nodes;
  for (const End& end : link.ends) nodes.push_back(end.node.str());
  return join(nodes, "-");
}

Link read_link(const Value& value) {
  constexpr std::int64_t kSmallestMtu = 68;
  constexpr std::int64_t kLargestMtu = 65535;
  const Mapping map(value, "a link", {"name", "switch", "mtu", "subnets", "ends"});
  Link link;
  for (const Value& end : map.required("ends").items()) link.ends.push_back(read_end(end));
  if (const Value* is_switch = map.optional("switch")) link.is_switch = is_switch->boolean();
  if (link.ends.size() > 2) link.is_switch = true;
  if (link.ends.empty() || (link.ends.size() == 1 && !link.is_switch)) {
    value.fail("a link needs two ends", "or 'switch: true', to which more can be connected");
  }
  if (const Value* mtu = map.optional("mtu")) {
    link.mtu = static_cast<std::uint32_t>(mtu->integer(kSmallestMtu, kLargestMtu));
  }
  link.subnets = read_all(map, "subnets", [](const Value& each) { return each.as(parse_subnet); });
  link.name = text_or(map, "name", name_of_link(link));
  return link;
}

// ---- the whole

// Walks the file beside the topology that was read from it, so that every complaint has its line.
class Checker {
 public:
  Checker(const Topology& topology, const Mapping& file)
      : topology_(topology), nodes_(file.required("nodes")), links_(file.optional("links")) {}

  void check() {
    check_names();
    for (std::size_t i = 0; i < topology_.links.size(); ++i) check_link(topology_.links[i], links_->items()[i]);
    for (std::size_t i = 0; i < topology_.nodes.size(); ++i) check_node(topology_.nodes[i], nodes_.entries()[i].value);
  }

 private:
  void check_names() {
    std::map<std::string, std::string> owners;
    for (std::size_t i = 0; i < topology_.nodes.size(); ++i) {
      const Node& node = topology_.nodes[i];
      const Value& key = nodes_.entries()[i].key;
      claim(owners, "localhost", "every node", key);
      claim(owners, node.name.str(), fmt::format("node '{}'", node.name.str()), key);
      for (const std::string& alias : node.aliases)
        claim(owners, alias, fmt::format("node '{}'", node.name.str()), key);
    }
  }

  static void claim(std::map<std::string, std::string>& owners, const std::string& name, const std::string& owner,
                    const Value& place) {
    const auto [found, is_new] = owners.emplace(name, owner);
    if (!is_new && found->second != owner) {
      place.fail(fmt::format("the name '{}' belongs to {} already", name, found->second));
    }
    if (!is_new && owner != "every node") place.fail(fmt::format("the name '{}' is given twice", name));
  }

  void check_link(const Link& link, const Value& place) {
    if (!link_names_.insert(link.name).second) {
      place.fail(fmt::format("two links are called '{}'", link.name), "give one another 'name'");
    }
    const Mapping map(place, "a link", {"name", "switch", "mtu", "subnets", "ends"});
    const auto& ends = map.required("ends").items();
    for (std::size_t i = 0; i < link.ends.size(); ++i) check_end(link, link.ends[i], ends[i]);
  }

  void check_end(const Link& link, const End& end, const Value& place) {
    const auto value_of = [&place](std::string_view key) -> const Value& {
      return Mapping(place, "an end", {"node", "interface", "mac", "addresses"}).required(key);
    };
    if (topology_.find(end.node.str()) == nullptr) unknown_node(end.node.str(), value_of("node"));
    if (!interfaces_.emplace(end.node.str(), end.interface.str()).second) {
      value_of("interface").fail(fmt::format("node '{}' has two interfaces '{}'", end.node.str(), end.interface.str()));
    }
    if (end.mac != MacAddress() && !macs_.insert(end.mac).second) {
      value_of("mac").fail(fmt::format("the MAC address '{}' is given twice", end.mac.str()));
    }
    for (std::size_t i = 0; i < end.addresses.size(); ++i) {
      check_address(link, end, end.addresses[i], value_of("addresses").one_or_more()[i]);
    }
  }

  [[noreturn]] void unknown_node(const std::string& name, const Value& place) const {
    const auto names = topology_.node_names();
    const std::string near = nearest(name, names);
    place.fail(fmt::format("there is no node '{}'", name),
               near.empty() ? fmt::format("nodes: {}", join(names, ", ")) : fmt::format("did you mean '{}'?", near));
  }

  void check_address(const Link& link, const End& end, const InterfaceAddress& address, const Value& place) {
    const auto [found, is_new] = addresses_.emplace(address.address, end.node.str());
    if (!is_new) {
      place.fail(
          fmt::format("the address '{}' is given twice, first to node '{}'", address.address.str(), found->second));
    }
    if (!link.subnets.empty()) {
      const bool inside = std::any_of(link.subnets.begin(), link.subnets.end(),
                                      [&](const Subnet& subnet) { return subnet.contains(address.address); });
      if (!inside) place.fail(fmt::format("'{}' is in no subnet of link '{}'", address.str(), link.name));
      return;
    }
    check_neighbours(link, end, address, place);
  }

  // Without 'subnets' the first address of a family on a link says what its subnet is.
  static void check_neighbours(const Link& link, const End& end, const InterfaceAddress& address, const Value& place) {
    for (const End& other : link.ends) {
      for (const InterfaceAddress& first : other.addresses) {
        if (first.address.family() != address.address.family()) continue;
        if (&other == &end || first.subnet() == address.subnet()) return;
        place.fail(fmt::format("'{}' is in another subnet than '{}' on the same link", address.str(), first.str()),
                   "name the subnets of the link under 'subnets' if there are several");
      }
    }
  }

  void check_node(const Node& node, const Value& place) {
    if (place.kind() == Value::Kind::nothing) return;
    const Mapping map(place, "a node", {"about", "kind", "routes", "sysctls", "services", "nat", "aliases", "setup"});
    for (std::size_t i = 0; i < node.routes.size(); ++i) {
      check_route(node, node.routes[i], map.required("routes").one_or_more()[i]);
    }
    for (std::size_t i = 0; i < node.nat.size(); ++i) {
      const Value nat = map.required("nat").one_or_more()[i];
      check_interface(node, node.nat[i].out, Mapping(nat, "an address translation", {"from", "out"}).required("out"));
    }
    if (const Value* services = map.optional("services")) {
      for (std::size_t i = 0; i < node.services.size(); ++i)
        check_service(node, node.services[i], services->items()[i]);
    }
  }

  void check_route(const Node& node, const Route& route, const Value& place) const {
    const Mapping map(place, "a route", {"to", "via", "interface", "source"});
    if (route.interface) check_interface(node, *route.interface, map.required("interface"));
    if (route.via && !is_neighbour(node, *route.via)) {
      map.required("via").fail(fmt::format("'{}' is on no link of node '{}'", route.via->str(), node.name.str()),
                               "a gateway is reached directly, without another gateway");
    }
    if (route.source && !has_address(node, *route.source)) {
      map.required("source").fail(fmt::format("node '{}' has no address '{}'", node.name.str(), route.source->str()));
    }
  }

  void check_interface(const Node& node, const InterfaceName& interface, const Value& place) const {
    if (interfaces_.contains({node.name.str(), interface.str()})) return;
    std::vector<std::string> names;
    for (const auto& [owner, name] : interfaces_) {
      if (owner == node.name.str()) names.push_back(name);
    }
    place.fail(fmt::format("node '{}' has no interface '{}'", node.name.str(), interface.str()),
               names.empty() ? "it is on no link" : fmt::format("it has: {}", join(names, ", ")));
  }

  bool is_neighbour(const Node& node, const IpAddress& gateway) const {
    const auto addresses = topology_.addresses_of(node.name.str());
    return std::any_of(addresses.begin(), addresses.end(), [&](const InterfaceAddress& own) {
      return own.address != gateway && own.address.family() == gateway.family() && own.subnet().contains(gateway);
    });
  }

  bool has_address(const Node& node, const IpAddress& address) const {
    const auto addresses = topology_.addresses_of(node.name.str());
    return std::any_of(addresses.begin(), addresses.end(),
                       [&](const InterfaceAddress& own) { return own.address == address; });
  }

  void check_service(const Node& node, const Service& service, const Value& place) const {
    for (const Listen& listen : service.echo) {
      if (listen.address.is_any() || listen.address.is_loopback() || has_address(node, listen.address)) continue;
      place.fail(fmt::format("node '{}' has no address '{}' to listen on", node.name.str(), listen.address.str()));
    }
  }

  const Topology& topology_;
  const Value& nodes_;
  const Value* links_;
  std::set<std::string> link_names_;
  std::set<std::pair<std::string, std::string>> interfaces_;  // node, interface
  std::set<MacAddress> macs_;
  std::map<IpAddress, std::string> addresses_;  // -> node
};

// Every interface gets one that is the same each time: from its first address, so that people recognise it, and else
// from its place in the file.
void give_mac_addresses(Topology& topology) {
  std::set<MacAddress> taken;
  for (const Link& link : topology.links) {
    for (const End& end : link.ends) taken.insert(end.mac);
  }
  std::uint32_t next = 1;
  for (Link& link : topology.links) {
    for (End& end : link.ends) {
      if (end.mac != MacAddress()) continue;
      if (!end.addresses.empty()) end.mac = MacAddress::derived_from(end.addresses.front().address);
      while (end.mac == MacAddress() || taken.contains(end.mac))
        end.mac = MacAddress::derived_from(IpAddress::v4(next++));
      taken.insert(end.mac);
    }
  }
}

bool is_on(const Link& link, const Name& node) {
  return std::any_of(link.ends.begin(), link.ends.end(), [&](const End& end) { return end.node == node; });
}

// Those on links of `reader` first.
std::map<Name, std::vector<IpAddress>> addresses_by_node(const Topology& topology, const Name& reader) {
  std::map<Name, std::vector<IpAddress>> all;
  for (const bool common : {true, false}) {
    for (const Link& link : topology.links) {
      if (is_on(link, reader) != common) continue;
      for (const End& end : link.ends) {
        for (const auto& address : end.addresses) all[end.node].push_back(address.address);
      }
    }
  }
  return all;
}

}  // namespace

std::string_view to_string(NodeKind kind) { return kind == NodeKind::host ? "host" : "router"; }

const Node* Topology::find(std::string_view node) const {
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [&](const Node& each) { return each.name.str() == node; });
  return found == nodes.end() ? nullptr : &*found;
}

std::vector<std::string> Topology::node_names() const {
  std::vector<std::string> names;
  for (const Node& node : nodes) names.push_back(node.name.str());
  return names;
}

const Node& Topology::node(std::string_view node) const {
  if (const Node* found = find(node)) return *found;
  const std::string near = nearest(node, node_names());
  throw Error(
      ErrorKind::not_found, fmt::format("there is no node '{}' in this lab", printable(node)),
      near.empty() ? fmt::format("nodes: {}", join(node_names(), ", ")) : fmt::format("did you mean '{}'?", near));
}

std::vector<InterfaceAddress> Topology::addresses_of(std::string_view node) const {
  std::vector<InterfaceAddress> all;
  for (const Link& link : links) {
    for (const End& end : link.ends) {
      if (end.node.str() == node) all.insert(all.end(), end.addresses.begin(), end.addresses.end());
    }
  }
  return all;
}

Listen parse_listen(std::string_view text) {
  Scanner scan("listening address", text, "80, 53/udp, 10.0.0.1:80 or [2001:db8::1]:80");
  Listen listen;
  listen.address = IpAddress::any(Family::v6);
  const std::string_view before = text.substr(0, text.find('/'));
  if (scan.accept('[')) {
    listen.address = IpAddress::parse(scan.until("]"));
    scan.expect(']');
    scan.expect(':');
  } else if (before.find(':') != std::string_view::npos) {
    listen.address = IpAddress::parse(scan.until(":"));
    scan.expect(':');
  }
  listen.port = static_cast<std::uint16_t>(scan.number("a port", 1, 65535));
  if (scan.accept("/udp")) {
    listen.protocol = Protocol::udp;
  } else if (scan.accept("/sctp")) {
    listen.protocol = Protocol::sctp;
  } else {
    scan.accept("/tcp");
  }
  scan.expect_end();
  return listen;
}

Topology parse_topology(const Value& file, const std::string& name) {
  const Mapping map(file, "a topology", {"name", "about", "nodes", "links"});
  Topology topology;
  topology.name = text_or(map, "name", name);
  topology.about = text_or(map, "about");
  for (const Entry& entry : map.required("nodes").entries()) topology.nodes.push_back(read_node(entry));
  if (topology.nodes.empty()) map.required("nodes").fail("a topology needs a node");
  if (topology.nodes.size() > kMostNodes) file.fail(fmt::format("a topology has at most {} nodes", kMostNodes));
  if (const Value* links = map.optional("links")) {
    for (const Value& link : links->items()) topology.links.push_back(read_link(link));
  }
  Checker(topology, map).check();
  give_mac_addresses(topology);
  return topology;
}

Topology read_topology(std::string_view text, const std::string& file, const std::string& name) {
  Topology topology = parse_topology(parse_document(text, file), name);
  topology.source = text;
  return topology;
}

std::string hosts_file(const Topology& topology, const Name& reader) {
  const auto addresses = addresses_by_node(topology, reader);
  std::string text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
  for (const Node& node : topology.nodes) {
    const auto found = addresses.find(node.name);
    if (found == addresses.end()) continue;
    std::set<Family> named;
    for (const IpAddress& address : found->second) {
      if (!named.insert(address.family()).second) continue;
      text += fmt::format("{} {}", address.str(), node.name.str());
      for (const std::string& alias : node.aliases) text += " " + alias;
      text += "\n";
    }
  }
  return text;
}

}  // namespace mb::lab
