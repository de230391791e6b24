// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/resolve.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/overloaded.h"
#include "src/plan/allocate.h"
#include "src/plan/draft.h"

namespace mb::plan {
namespace {

class Resolver {
 public:
  Resolver(const StateView& state, const HostFacts& facts) : draft_(state), facts_(facts) {}

  void operator()(const change::AddNetwork& wanted) {
    if (const auto existing = draft_.find_network(wanted.name.str())) {
      if (wanted.if_absent) return;
      throw Error(ErrorKind::conflict, fmt::format("there is a network '{}' already", wanted.name.str()),
                  "choose another name, or remove it with 'minibridge network rm'");
    }
    for (const auto& other : draft_.networks()) {
      if (other.bridge == wanted.bridge) {
        throw Error(ErrorKind::conflict,
                    fmt::format("bridge '{}' belongs to network '{}'", wanted.bridge.str(), other.name.str()),
                    "choose another --bridge-name");
      }
    }
    check_source_address(wanted);
    Network network;
    network.id = wanted.id;
    network.name = wanted.name;
    network.bridge = wanted.bridge;
    network.pools = {pool_for(wanted)};
    network.mtu = wanted.mtu;
    network.labels = wanted.labels;
    network.created_at = wanted.created_at;
    network.internal = wanted.internal;
    network.masquerade = wanted.masquerade;
    network.snat_to = wanted.snat_to;
    draft_.add(std::move(network));
  }

  void operator()(const change::RemoveNetwork& wanted) {
    const auto network = draft_.network(wanted.network);
    if (draft_.endpoint_count(network.id) > 0) {
      for (const auto& container : draft_.containers()) {
        const bool uses = std::any_of(container.endpoints.begin(), container.endpoints.end(),
                                      [&](const Endpoint& endpoint) { return endpoint.network == network.id; });
        if (uses) {
          throw Error(ErrorKind::conflict,
                      fmt::format("network '{}' is in use by container '{}'", network.name.str(), container.name.str()),
                      "remove its containers first ('minibridge rm -f')");
        }
      }
    }
    draft_.drop(network);
  }

  void operator()(const change::AddContainer& wanted) {
    Container container = wanted.container;
    // A name may look like the beginning of somebody's id.
    if (const auto other = draft_.find_container(container.name.str()); other && other->name == container.name) {
      throw Error(ErrorKind::conflict, fmt::format("there is a container '{}' already", container.name.str()),
                  fmt::format("choose another name, or remove it with 'minibridge rm {}'", container.name.str()));
    }
    std::vector<std::string> taken = wanted.taken_links;
    bool has_default_route = wanted.has_default_route;
    for (const auto& request : wanted.endpoints) {
      auto endpoint = make_endpoint(container, request, taken);
      const bool leads_out = !draft_.network(endpoint.network).internal;
      endpoint.default_route = leads_out && !has_default_route;
      has_default_route = has_default_route || leads_out;
      container.endpoints.push_back(std::move(endpoint));
    }
    container.ports.clear();
    check_can_publish(container);
    if (container.wants_network()) settle(container, wanted.draw);
    draft_.add(std::move(container));
  }

  void operator()(const change::StartContainer& wanted) {
    const auto before = draft_.container(wanted.container);
    if (before.wants_network()) {
      throw Error(ErrorKind::conflict, fmt::format("container '{}' is running already", before.name.str()));
    }
    Container after = before;
    after.status = ContainerStatus::running;
    after.supervisor_pid = wanted.supervisor_pid;
    after.init_pid = wanted.init_pid;
    after.namespace_source = wanted.namespace_source;
    if (!wanted.resolv_conf.empty()) after.resolv_conf = wanted.resolv_conf;
    after.started_at = wanted.started_at;
    after.exit_status.reset();
    draft_.change(before, std::nullopt);  // so that it does not stand in its own way
    settle(after, wanted.draw);
    draft_.change(before, std::move(after));
  }

  void operator()(const change::EndContainer& wanted) {
    const auto before = draft_.find_container(wanted.container);
    if (!before || before->status != ContainerStatus::running) return;  // somebody else has taken it out already
    if (before->remove_when_ended) {
      draft_.change(*before, std::nullopt);
      return;
    }
    Container after = *before;
    after.status = ContainerStatus::exited;
    after.exit_status = wanted.exit_status;
    after.finished_at = wanted.finished_at;
    after.supervisor_pid = 0;
    after.init_pid = 0;
    after.namespace_source.clear();
    after.ports.clear();
    for (auto& endpoint : after.endpoints) {
      for (auto& address : endpoint.addresses) {
        if (!address.fixed) address.address.reset();
      }
    }
    draft_.change(*before, std::move(after));
  }

  void operator()(const change::RemoveContainer& wanted) {
    const auto container = draft_.container(wanted.container);
    if (container.status == ContainerStatus::running) {
      throw Error(ErrorKind::conflict, fmt::format("container '{}' is running", container.name.str()),
                  fmt::format("stop it first, or use 'minibridge rm -f {}'", container.name.str()));
    }
    draft_.change(container, std::nullopt);
  }

  void operator()(const change::Publish& wanted) {
    const auto before = running(wanted.container);
    Container after = before;
    after.publish.insert(after.publish.end(), wanted.ports.begin(), wanted.ports.end());
    check_can_publish(after);
    draft_.change(before, std::nullopt);
    for (const auto& spec : wanted.ports) after.ports.push_back(settled(spec, after, wanted.draw));
    draft_.change(before, std::move(after));
  }

  void operator()(const change::Unpublish& wanted) {
    const auto before = running(wanted.container);
    Container after = before;
    for (const auto& spec : wanted.ports) unpublish(after, spec);
    draft_.change(before, std::move(after));
  }

  Delta take() const { return draft_.take(); }

 private:
  AddressPool pool_for(const change::AddNetwork& wanted) const {
    AddressPool pool;
    if (wanted.subnet) {
      pool.subnet = *wanted.subnet;
      check_usable_subnet(pool.subnet);
      check_subnet(pool.subnet, draft_.networks(), facts_.routes);
    } else {
      if (wanted.gateway || wanted.range) {
        throw Error(ErrorKind::usage, "a gateway or a range needs the subnet that it lies in", "add --subnet");
      }
      pool.subnet = allocate_subnet(draft_.networks(), facts_.routes);
    }
    pool.reserved = wanted.reserved;
    pool.range = wanted.range;
    if (pool.range && !pool.subnet.contains(*pool.range)) {
      throw Error(ErrorKind::usage,
                  fmt::format("the range {} is not inside the subnet {}", pool.range->str(), pool.subnet.str()));
    }
    pool.gateway = wanted.gateway ? *wanted.gateway : first_gateway(pool);
    const bool known = pool.subnet.contains(pool.gateway);
    AddressPool without_gateway = pool;
    without_gateway.gateway = IpAddress::any(pool.subnet.family());
    const auto reason = known ? unusable(without_gateway, pool.gateway) : "it is outside the subnet";
    if (!reason.empty()) {
      throw Error(ErrorKind::usage,
                  fmt::format("{} cannot be the gateway of {}: {}", pool.gateway.str(), pool.subnet.str(), reason));
    }
    for (const auto& address : pool.reserved) {
      if (!pool.subnet.contains(address)) {
        throw Error(ErrorKind::usage,
                    fmt::format("the reserved address {} is outside the subnet {}", address.str(), pool.subnet.str()));
      }
    }
    return pool;
  }

  static void check_usable_subnet(const Subnet& subnet) {
    if (subnet.family() != Family::v4) {
      throw Error(ErrorKind::usage, fmt::format("the subnet {} is IPv6, and networks are IPv4 so far", subnet.str()));
    }
    if (subnet.prefix() > address_bits(subnet.family()) - 2) {
      throw Error(ErrorKind::usage,
                  fmt::format("the subnet {} has no room for a gateway and a container", subnet.str()),
                  "use a prefix length of 30 or less");
    }
    // "This" network, loopback, and all from multicast upwards (RFC 6890).
    const auto overlaps = [&subnet](const char* other) { return subnet.overlaps(Subnet::parse(other)); };
    if (overlaps("0.0.0.0/8") || overlaps("127.0.0.0/8") || overlaps("224.0.0.0/3")) {
      throw Error(ErrorKind::usage, fmt::format("the subnet {} cannot be used for containers", subnet.str()),
                  "choose one of the private ranges, for example 10.20.0.0/24");
    }
  }

  // docker's choice: the first address of the range, or else of the subnet, that is not reserved.
  static IpAddress first_gateway(const AddressPool& pool) {
    const auto& from = pool.range ? *pool.range : pool.subnet;
    auto candidate = from.base() == pool.subnet.base() ? from.base().plus(1) : from.base();
    while (std::find(pool.reserved.begin(), pool.reserved.end(), candidate) != pool.reserved.end()) {
      candidate = candidate.plus(1);
    }
    return candidate;
  }

  Endpoint make_endpoint(const Container& container, const change::EndpointRequest& request,
                         std::vector<std::string>& taken) {
    const auto network = draft_.network(request.network);
    for (const auto& other : container.endpoints) {
      if (other.network == network.id) {
        throw Error(ErrorKind::usage, fmt::format("network '{}' is named twice", network.name.str()));
      }
    }
    if (draft_.endpoint_count(network.id) >= kMostEndpoints) {
      throw Error(ErrorKind::conflict,
                  fmt::format("network '{}' is full: the kernel allows {} ports on one bridge", network.name.str(),
                              kMostEndpoints),
                  "make another network");
    }
    Endpoint endpoint;
    endpoint.network = network.id;
    endpoint.host_link = request.host_link;
    endpoint.name = next_link_name(taken);
    endpoint.fixed_mac = request.mac;
    for (const auto& pool : network.pools) {
      endpoint.addresses.push_back({pool.subnet.family(), false, std::nullopt});
    }
    if (request.address) take_fixed(endpoint, network, *request.address);
    return endpoint;
  }

  void take_fixed(Endpoint& endpoint, const Network& network, const IpAddress& address) const {
    check_fixed_address(network, address, draft_);
    for (auto& held : endpoint.addresses) {
      if (held.family == address.family()) held = {held.family, true, address};
    }
  }

  static InterfaceName next_link_name(std::vector<std::string>& taken) {
    for (int i = 0;; ++i) {
      auto name = fmt::format("eth{}", i);
      if (std::find(taken.begin(), taken.end(), name) != taken.end()) continue;
      taken.push_back(name);
      return InterfaceName::parse(name);
    }
  }

  // The address that packets to the outside are to carry must be one of ours, or no answer comes back.
  void check_source_address(const change::AddNetwork& wanted) const {
    if (!wanted.snat_to) return;
    const std::string attempt = fmt::format("packets cannot leave under {}", wanted.snat_to->str());
    if (wanted.internal || !wanted.masquerade) {
      throw Error(ErrorKind::usage,
                  fmt::format("{}: {}", attempt,
                              wanted.internal ? "from an internal network none leaves"
                                              : "with --masquerade=false they keep their own source address"),
                  "leave --snat-to out");
    }
    const auto& own = facts_.local_addresses;
    if (std::find(own.begin(), own.end(), *wanted.snat_to) == own.end()) {
      throw Error(ErrorKind::usage, fmt::format("{}: the host has no such address", attempt),
                  "name an address that 'ip address' shows");
    }
  }

  void check_can_publish(const Container& container) const {
    if (container.publish.empty()) return;
    const bool reachable =
        std::any_of(container.endpoints.begin(), container.endpoints.end(),
                    [&](const Endpoint& endpoint) { return !draft_.network(endpoint.network).internal; });
    if (reachable) return;
    if (!container.endpoints.empty()) {
      throw Error(
          ErrorKind::usage,
          fmt::format("container '{}' cannot publish ports: it is in internal networks only", container.name.str()),
          "put it into a second network that is not internal (--network twice)");
    }
    throw Error(ErrorKind::usage,
                fmt::format("container '{}' cannot publish ports: it is in no network", container.name.str()),
                container.attachment == Attachment::host ? "with --network host its ports are the host's own" : "");
  }

  // Draws what a container needs to run: addresses and host ports.
  void settle(Container& container, std::uint64_t draw) {
    for (auto& endpoint : container.endpoints) {
      const auto network = draft_.network(endpoint.network);
      for (auto& held : endpoint.addresses) {
        if (!held.address) held.address = allocate_address(network, held.family, draft_);
      }
    }
    container.ports.clear();
    for (const auto& spec : container.publish) container.ports.push_back(settled(spec, container, draw));
  }

  PublishedPort settled(const PublishSpec& spec, const Container& container, std::uint64_t draw) const {
    const auto family = spec.host_address ? spec.host_address->family() : Family::v4;
    const bool reachable = std::any_of(container.endpoints.begin(), container.endpoints.end(),
                                       [&](const Endpoint& endpoint) { return endpoint.address(family) != nullptr; });
    if (!reachable) {
      throw Error(ErrorKind::usage, fmt::format("cannot publish '{}': container '{}' has no {} address", spec.str(),
                                                container.name.str(), to_string(family)));
    }
    return settle_port(spec, family, container.ports, draft_, facts_, draw);
  }

  Container running(const std::string& name) const {
    auto container = draft_.container(name);
    if (!container.wants_network()) {
      throw Error(ErrorKind::conflict, fmt::format("container '{}' is not running", container.name.str()),
                  fmt::format("start it with 'minibridge start {}'", container.name.str()));
    }
    return container;
  }

  // Takes out the published port that the words mean; the host port may be left out when it is clear without.
  static void unpublish(Container& container, const PublishSpec& spec) {
    const auto meant = [&](const PublishedPort& port) {
      return port.protocol == spec.protocol && port.container_ports == spec.container_ports &&
             (!spec.host_ports || *spec.host_ports == port.host_ports) &&
             (!spec.host_address || *spec.host_address == port.host_address);
    };
    const auto count = std::count_if(container.ports.begin(), container.ports.end(), meant);
    if (count != 1) {
      throw Error(count == 0 ? ErrorKind::not_found : ErrorKind::usage,
                  count == 0 ? fmt::format("container '{}' has not published '{}'", container.name.str(), spec.str())
                             : fmt::format("'{}' means {} published ports of container '{}'", spec.str(), count,
                                           container.name.str()),
                  fmt::format("'minibridge port {}' lists them", container.name.str()));
    }
    const auto port = std::find_if(container.ports.begin(), container.ports.end(), meant);
    // The specification behind it has the same place: both lists grow and shrink together while the container runs.
    container.publish.erase(container.publish.begin() + (port - container.ports.begin()));
    container.ports.erase(port);
  }

  Draft draft_;
  const HostFacts& facts_;
};

}  // namespace

Delta resolve(const std::vector<Change>& changes, const StateView& state, const HostFacts& facts) {
  Resolver resolver(state, facts);
  for (const auto& change : changes) std::visit(resolver, change);
  return resolver.take();
}

}  // namespace mb::plan
