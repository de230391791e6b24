// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/plan/find_network.h"

#include <algorithm>

namespace mb::plan {

std::optional<Network> find_network(const std::vector<Network>& networks, std::string_view name_or_id) {
  for (const auto& network : networks) {
    if (network.name.str() == name_or_id) return network;
  }
  const auto fits = [&](const Network& network) { return !name_or_id.empty() && network.id.starts_with(name_or_id); };
  const auto found = std::find_if(networks.begin(), networks.end(), fits);
  if (found == networks.end() || std::any_of(found + 1, networks.end(), fits)) return std::nullopt;
  return *found;
}

}  // namespace mb::plan
