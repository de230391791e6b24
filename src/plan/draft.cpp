// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/draft.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/plan/find_network.h"

namespace mb::plan {
namespace {

bool holds(const Container& container, const Id& network, const IpAddress& address) {
  for (const auto& endpoint : container.endpoints) {
    if (endpoint.network != network) continue;
    const auto* held = endpoint.address(address.family());
    if (held != nullptr && held->address == address) return true;
  }
  return false;
}

}  // namespace

template <class Visit>
void Draft::for_each_after(Visit visit) const {
  for (const auto& [id, change] : changes_) {
    if (change.after) visit(*change.after);
  }
}

std::vector<Container> Draft::containers() const {
  auto all = base_.containers();
  std::erase_if(all, [this](const Container& container) { return is_changed(container.id); });
  for_each_after([&](const Container& container) { all.push_back(container); });
  return all;
}

std::optional<Container> Draft::find_container(std::string_view name_or_id) const {
  std::optional<Container> found;
  for_each_after([&](const Container& container) {
    if (container.name.str() == name_or_id || container.id == name_or_id) found = container;
  });
  if (found) return found;
  auto stored = base_.find_container(name_or_id);
  if (!stored || !is_changed(stored->id)) return stored;
  return changes_.at(stored->id).after;
}

std::size_t Draft::endpoint_count(const Id& network) const {
  const auto in_network = [&network](const std::optional<Container>& container) -> std::size_t {
    if (!container) return 0;
    return static_cast<std::size_t>(
        std::count_if(container->endpoints.begin(), container->endpoints.end(),
                      [&](const Endpoint& endpoint) { return endpoint.network == network; }));
  };
  std::size_t count = base_.endpoint_count(network);
  for (const auto& [id, change] : changes_) count += in_network(change.after) - in_network(change.before);
  return count;
}

std::optional<std::string> Draft::address_holder(const Id& network, const IpAddress& address) const {
  std::optional<std::string> holder;
  for_each_after([&](const Container& container) {
    if (holds(container, network, address)) holder = container.name.str();
  });
  if (holder) return holder;
  auto stored = base_.address_holder(network, address);
  if (!stored) return std::nullopt;
  for (const auto& [id, change] : changes_) {
    if (change.before && change.before->name.str() == *stored) return std::nullopt;  // it has moved on
  }
  return stored;
}

std::optional<IpAddress> Draft::highest_given(const Id& network, Family family) const {
  auto highest = base_.highest_given(network, family);
  for_each_after([&](const Container& container) {
    for (const auto& endpoint : container.endpoints) {
      const auto* held = endpoint.address(family);
      if (endpoint.network != network || held == nullptr || held->fixed || !held->address) continue;
      if (!highest || *held->address > *highest) highest = held->address;
    }
  });
  return highest;
}

std::vector<IpAddress> Draft::released(const Id& network, Family family) const {
  auto addresses = base_.released(network, family);
  for (const auto& [id, change] : changes_) {
    if (!change.before) continue;
    for (const auto& endpoint : change.before->endpoints) {
      const auto* held = endpoint.address(family);
      if (endpoint.network == network && held != nullptr && held->address) addresses.push_back(*held->address);
    }
  }
  return addresses;
}

std::vector<PortHolder> Draft::published_in(Protocol protocol, const PortRange& range) const {
  auto holders = base_.published_in(protocol, range);
  std::erase_if(holders, [this](const PortHolder& holder) {
    return std::any_of(changes_.begin(), changes_.end(), [&](const auto& entry) {
      return entry.second.before && entry.second.before->name.str() == holder.container;
    });
  });
  for_each_after([&](const Container& container) {
    for (const auto& port : container.ports) {
      if (port.protocol == protocol && port.host_ports.overlaps(range)) holders.push_back({container.name.str(), port});
    }
  });
  return holders;
}

std::optional<Network> Draft::find_network(std::string_view name_or_id) const {
  return plan::find_network(networks_, name_or_id);
}

Network Draft::network(std::string_view name_or_id) const {
  if (const auto found = find_network(name_or_id)) return *found;
  throw Error(ErrorKind::not_found, fmt::format("there is no network '{}'", printable(name_or_id)),
              "'minibridge network ls' lists them, 'minibridge network create' makes one");
}

Container Draft::container(std::string_view name_or_id) const {
  if (const auto found = find_container(name_or_id)) return *found;
  throw Error(ErrorKind::not_found, fmt::format("there is no container '{}'", printable(name_or_id)),
              "'minibridge ps -a' lists them");
}

void Draft::add(Network network) {
  networks_.push_back(network);
  added_.push_back(std::move(network));
}

void Draft::drop(const Network& network) {
  std::erase_if(networks_, [&](const Network& other) { return other.id == network.id; });
  dropped_.push_back(network);
}

void Draft::change(const Container& before, std::optional<Container> after) {
  const auto known = changes_.find(before.id);
  if (known == changes_.end()) {
    order_.push_back(before.id);
    changes_[before.id] = {before, std::move(after)};
  } else {
    known->second.after = std::move(after);
  }
}

void Draft::add(Container container) {
  const auto id = container.id;
  order_.push_back(id);
  changes_[id] = {std::nullopt, std::move(container)};
}

Delta Draft::take() const {
  Delta delta{added_, dropped_, {}, rested_};
  for (const auto& id : order_) {
    const auto& change = changes_.at(id);
    if (change.before || change.after) delta.containers.push_back(change);
  }
  return delta;
}

}  // namespace mb::plan
