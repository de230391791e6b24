// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/kernel_state.h"

#include <charconv>

namespace mb {
namespace {

// "MB" in the upper half marks a group as one of ours for whoever looks at `ip -d link`; the lower half tells states apart.
constexpr std::uint32_t kGroupMark = 0x4d42'0000;
constexpr std::uint32_t kTrashMark = 0x4d43'0000;
constexpr std::uint32_t kMarkMask = 0xffff'0000;

}  // namespace

Identity Identity::from_state_id(std::string state_id) {
  std::uint32_t value = 0;
  std::from_chars(state_id.data(), state_id.data() + state_id.size(), value, 16);
  Identity identity;
  identity.group = kGroupMark | (value & ~kMarkMask);
  identity.trash = kTrashMark | (value & ~kMarkMask);
  identity.state_id = std::move(state_id);
  return identity;
}

bool is_minibridge_group(std::uint32_t group) {
  return (group & kMarkMask) == kGroupMark || (group & kMarkMask) == kTrashMark;
}

}  // namespace mb
