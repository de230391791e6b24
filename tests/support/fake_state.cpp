// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/fake_state.h"

#include <algorithm>
#include <stdexcept>

namespace mb::test {
namespace {

template <class Visit>
void for_each_lease(const Container& container, Visit visit) {
  for (const auto& endpoint : container.endpoints) {
    for (const auto& held : endpoint.addresses) {
      if (held.address) visit(endpoint.network, held);
    }
  }
}

void require(bool fine, const std::string& what) {
  if (!fine) throw std::logic_error("the state would hold twice: " + what);
}

}  // namespace

void FakeState::write(const Delta& delta) {
  // What goes makes room first: a port or an address may change hands within one delta.
  for (const auto& change : delta.containers) {
    if (!change.before) continue;
    give_back(*change.before);
    containers_.erase(change.before->id);
  }
  for (const auto& network : delta.dropped_networks) {
    std::erase_if(networks_, [&](const Network& other) { return other.id == network.id; });
    leases_.erase(network.id);
  }
  for (const auto& network : delta.added_networks) {
    for (const auto& other : networks_)
      require(other.name != network.name && other.id != network.id, network.name.str());
    networks_.push_back(network);
  }
  for (const auto& change : delta.containers) {
    if (!change.after) continue;
    hand_out(*change.after);
    containers_[change.after->id] = *change.after;
  }
}

void FakeState::give_back(const Container& container) {
  for_each_lease(container, [this](const Id& network, const EndpointAddress& held) {
    leases_[network].resting.push_back(*held.address);
  });
}

void FakeState::hand_out(const Container& container) {
  for (const auto& [id, other] : containers_) require(other.name != container.name, container.name.str());
  for (const auto& port : container.ports) {
    for (const auto& holder : published_in(port.protocol, port.host_ports)) {
      require(!holder.port.collides_with(port), port.str());
    }
  }
  for_each_lease(container, [this](const Id& network, const EndpointAddress& held) {
    const auto& address = *held.address;
    require(!address_holder(network, address), address.str());
    auto& leases = leases_[network];
    std::erase(leases.resting, address);
    if (held.fixed) return;
    const auto [known, fresh] = leases.highest.try_emplace(held.family, address);
    if (!fresh) known->second = std::max(known->second, address);
  });
}

std::vector<Container> FakeState::containers() const {
  std::vector<Container> all;
  for (const auto& [id, container] : containers_) all.push_back(container);
  return all;
}

std::optional<Container> FakeState::find_container(std::string_view name_or_id) const {
  for (const auto& [id, container] : containers_) {
    if (container.name.str() == name_or_id || id == name_or_id) return container;
  }
  std::optional<Container> found;
  for (const auto& [id, container] : containers_) {
    if (name_or_id.empty() || !id.starts_with(name_or_id)) continue;
    if (found) return std::nullopt;
    found = container;
  }
  return found;
}

std::size_t FakeState::endpoint_count(const Id& network) const {
  std::size_t count = 0;
  for (const auto& [id, container] : containers_) {
    for (const auto& endpoint : container.endpoints) count += endpoint.network == network ? 1 : 0;
  }
  return count;
}

std::optional<std::string> FakeState::address_holder(const Id& network, const IpAddress& address) const {
  std::optional<std::string> holder;
  for (const auto& [id, container] : containers_) {
    for_each_lease(container, [&, &name = container.name](const Id& where, const EndpointAddress& held) {
      if (where == network && held.address == address) holder = name.str();
    });
  }
  return holder;
}

std::optional<IpAddress> FakeState::highest_given(const Id& network, Family family) const {
  const auto leases = leases_.find(network);
  if (leases == leases_.end()) return std::nullopt;
  const auto highest = leases->second.highest.find(family);
  return highest == leases->second.highest.end() ? std::nullopt : std::optional(highest->second);
}

std::vector<IpAddress> FakeState::released(const Id& network, Family family) const {
  const auto leases = leases_.find(network);
  if (leases == leases_.end()) return {};
  auto resting = leases->second.resting;
  std::erase_if(resting, [family](const IpAddress& address) { return address.family() != family; });
  return resting;
}

std::vector<PortHolder> FakeState::published_in(Protocol protocol, const PortRange& range) const {
  std::vector<PortHolder> holders;
  for (const auto& [id, container] : containers_) {
    for (const auto& port : container.ports) {
      if (port.protocol == protocol && port.host_ports.overlaps(range)) holders.push_back({container.name.str(), port});
    }
  }
  return holders;
}

}  // namespace mb::test
