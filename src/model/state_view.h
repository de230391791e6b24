// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the user has asked for so far, to be read. The store is one; tests and drafts of a change are others.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/model/objects.h"

namespace mb {

struct PortHolder {
  std::string container;  // its name
  PublishedPort port;
};

class StateView {
 public:
  StateView() = default;
  StateView(const StateView&) = delete;
  StateView& operator=(const StateView&) = delete;
  virtual ~StateView() = default;

  virtual std::vector<Network> networks() const = 0;
  virtual std::vector<Container> containers() const = 0;
  // By name, by id, or by a beginning of the id that fits one container only.
  virtual std::optional<Container> find_container(std::string_view name_or_id) const = 0;

  // Endpoints in the network, those of stopped containers too.
  virtual std::size_t endpoint_count(const Id& network) const = 0;
  // The name of the container that holds the address.
  virtual std::optional<std::string> address_holder(const Id& network, const IpAddress& address) const = 0;
  // The highest address that was ever given out by choice of the program.
  virtual std::optional<IpAddress> highest_given(const Id& network, Family family) const = 0;
  // Free addresses that were given out before, least recently released first.
  virtual std::vector<IpAddress> released(const Id& network, Family family) const = 0;
  // Who has published a port in this range.
  virtual std::vector<PortHolder> published_in(Protocol protocol, const PortRange& range) const = 0;
};

}  // namespace mb
