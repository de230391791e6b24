// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/engine/names.h"

#include <algorithm>

namespace mb::engine {
namespace {

using Presence = store::Store::Presence;

bool is_in(const Container& container, const Id& network) {
  return std::any_of(container.endpoints.begin(), container.endpoints.end(),
                     [&](const Endpoint& endpoint) { return endpoint.network == network; });
}

class Gatherer {
 public:
  Gatherer(plan::DesiredInput& input, const std::set<Id>& changed, const store::Store& store)
      : input_(input), changed_(changed), store_(store) {
    for (const auto& container : input.containers) known_.insert(container.id);
  }

  void gather(const std::vector<Id>& networks) {
    for (const auto& network : networks) {
      if (has_somebody(network)) input_.populated.insert(network);
      if (somebody_reads(network)) find_readers(network);
    }
    for (const auto& container : input_.containers) {
      if (container.wants_network()) list_for(container);
    }
  }

 private:
  bool reads(const Container& container) const { return !input_.name_servers || container.reads_names_from_hosts(); }

  bool has_somebody(const Id& network) const {
    return std::any_of(input_.containers.begin(), input_.containers.end(),
                       [&](const Container& c) { return c.wants_network() && is_in(c, network); }) ||
           store_.somebody_in(network, Presence::running, changed_);
  }

  bool somebody_reads(const Id& network) const {
    return store_.somebody_in(network, input_.name_servers ? Presence::reads_hosts : Presence::running, changed_);
  }

  void find_readers(const Id& network) {
    for (const auto& member : members(network)) {
      const bool has_files = member.kind != ContainerKind::foreign_netns;
      if (!has_files || !reads(member) || !known_.insert(member.id).second) continue;
      input_.readers.push_back(member);
      list_for(member);
    }
  }

  // Everybody whom its /etc/hosts may name.
  void list_for(const Container& container) {
    if (!reads(container)) return;
    for (const auto& network : plan::networks_in_hosts_file(container, input_.networks, input_.name_servers)) {
      members(network);
    }
  }

  const std::vector<Container>& members(const Id& network) {
    const auto [found, fresh] = input_.members.try_emplace(network);
    if (!fresh) return found->second;
    for (auto& container : store_.present_in(network)) {
      if (!changed_.contains(container.id)) found->second.push_back(std::move(container));
    }
    for (const auto& container : input_.containers) {
      const bool joins = changed_.contains(container.id) && container.wants_network() && is_in(container, network);
      if (joins) found->second.push_back(container);
    }
    return found->second;
  }

  plan::DesiredInput& input_;
  const std::set<Id>& changed_;
  const store::Store& store_;
  std::set<Id> known_;  // containers whose files are seen to
};

}  // namespace

void gather_names(plan::DesiredInput& input, const std::set<Id>& changed, const store::Store& store,
                  kernel::Kernel& kernel) {
  std::vector<Id> networks;
  for (const auto& network : input.networks) {
    if (input.bridges_of.contains(network.id) && plan::serves_names(network)) networks.push_back(network.id);
  }
  if (networks.empty()) return;
  input.name_servers = kernel.can_serve_names();
  Gatherer(input, changed, store).gather(networks);
}

}  // namespace mb::engine
