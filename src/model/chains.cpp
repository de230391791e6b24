// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/chains.h"

namespace mb {

std::string_view owner_in_comment(std::string_view comment) {
  constexpr std::string_view kPrefix = "minibridge ";
  if (!comment.starts_with(kPrefix)) return {};
  const auto end = comment.find(": ");
  return end == std::string_view::npos ? std::string_view{} : comment.substr(kPrefix.size(), end - kPrefix.size());
}

std::string_view owner_of(const Rule& rule) { return owner_in_comment(rule.comment()); }

}  // namespace mb
