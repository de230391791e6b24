// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/host_report.h"

#include <algorithm>
#include <array>

namespace mb {

std::string_view to_string(Hook hook) {
  constexpr std::array<std::string_view, 5> kNames = {"prerouting", "input", "forward", "output", "postrouting"};
  return kNames.at(static_cast<std::size_t>(hook));
}

std::string_view to_string(Weight weight) {
  constexpr std::array<std::string_view, 3> kNames = {"stops", "may_stop", "remark"};
  return kNames.at(static_cast<std::size_t>(weight));
}

const HostChain* HostTable::chain(std::string_view wanted) const {
  const auto found =
      std::find_if(chains.begin(), chains.end(), [&](const HostChain& chain) { return chain.name == wanted; });
  return found == chains.end() ? nullptr : &*found;
}

}  // namespace mb
