// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/change.h"

namespace mb {

bool removes(const Change& change) {
  return std::holds_alternative<change::RemoveNetwork>(change) ||
         std::holds_alternative<change::EndContainer>(change) ||
         std::holds_alternative<change::RemoveContainer>(change) ||
         std::holds_alternative<change::Disconnect>(change) || std::holds_alternative<change::Unpublish>(change);
}

}  // namespace mb
