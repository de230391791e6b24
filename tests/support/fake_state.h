// SPDX-License-Identifier: GPL-2.0-or-later
//
// The state in memory: what the store keeps on disk, without the disk. For tests that need a StateView.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/model/change.h"
#include "src/model/state_view.h"

namespace mb::test {

class FakeState : public StateView {
 public:
  // Takes the objects over as they are after the change. Throws std::logic_error where the store's constraints would
  // refuse: a name, an address or a host port twice.
  void write(const Delta& delta);

  std::vector<Network> networks() const override { return networks_; }
  std::vector<Container> containers() const override;
  std::optional<Container> find_container(std::string_view name_or_id) const override;
  std::size_t endpoint_count(const Id& network) const override;
  std::optional<std::string> address_holder(const Id& network, const IpAddress& address) const override;
  std::optional<IpAddress> highest_given(const Id& network, Family family) const override;
  std::vector<IpAddress> released(const Id& network, Family family) const override;
  std::vector<PortHolder> published_in(Protocol protocol, const PortRange& range) const override;

 private:
  struct Leases {
    std::vector<IpAddress> resting;  // least recently released first
    std::map<Family, IpAddress> highest;
  };
  void give_back(const Container& container);
  void hand_out(const Container& container);

  std::vector<Network> networks_;
  std::map<Id, Container> containers_;
  std::map<Id, Leases> leases_;  // by network
};

}  // namespace mb::test
