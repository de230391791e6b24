// SPDX-License-Identifier: GPL-2.0-or-later
//
// The difference of the rules of one table.
#pragma once

#include <optional>

#include "src/model/kernel_state.h"
#include "src/model/step.h"

namespace mb::plan {

// None when nothing differs. In chains of rules by owner only those of the owners in scope are compared; other chains of ours are compared in full and in order.
std::optional<step::CommitRules> diff_table(TableKey key, const TableRules& desired, const TableRules& actual,
                                            const Scope& scope);

}  // namespace mb::plan
