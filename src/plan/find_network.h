// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which network is meant by a word.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "src/model/objects.h"

namespace mb::plan {

// By name, by id, or by a beginning of the id that fits one network only; as StateView::find_container.
std::optional<Network> find_network(const std::vector<Network>& networks, std::string_view name_or_id);

}  // namespace mb::plan
