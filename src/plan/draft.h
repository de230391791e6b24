// SPDX-License-Identifier: GPL-2.0-or-later
//
// The state as it would be after the changes worked out so far: later changes of a list see the earlier ones.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/model/change.h"
#include "src/model/state_view.h"

namespace mb::plan {

class Draft : public StateView {
 public:
  explicit Draft(const StateView& base) : base_(base), networks_(base.networks()) {}

  std::vector<Network> networks() const override { return networks_; }
  std::vector<Container> containers() const override;
  std::optional<Container> find_container(std::string_view name_or_id) const override;
  std::size_t endpoint_count(const Id& network) const override;
  std::optional<std::string> address_holder(const Id& network, const IpAddress& address) const override;
  std::optional<IpAddress> highest_given(const Id& network, Family family) const override;
  std::vector<IpAddress> released(const Id& network, Family family) const override;
  std::vector<PortHolder> published_in(Protocol protocol, const PortRange& range) const override;

  // Throws Error(not_found) with what there is.
  Network network(std::string_view name_or_id) const;
  std::optional<Network> find_network(std::string_view name_or_id) const;
  Container container(std::string_view name_or_id) const;

  void add(Network network);
  void drop(const Network& network);
  // Puts the container in its new form, or takes it out (none).
  void change(const Container& before, std::optional<Container> after);
  void add(Container container);

  // Notes that the address of the container was somebody's before.
  void note_rested(const Id& container, const IpAddress& address) { rested_.emplace(container, address); }

  Delta take() const;

 private:
  bool is_changed(const Id& container) const { return changes_.contains(container); }
  template <class Visit>
  void for_each_after(Visit visit) const;

  const StateView& base_;
  std::vector<Network> networks_;
  std::vector<Network> added_;
  std::vector<Network> dropped_;
  std::map<Id, Delta::ContainerChange> changes_;
  std::vector<Id> order_;
  std::set<std::pair<Id, IpAddress>> rested_;
};

}  // namespace mb::plan
