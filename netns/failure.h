// SPDX-License-Identifier: GPL-2.0-or-later
//
// The one way this library reports a failure.
#pragma once

#include <string>
#include <system_error>

namespace netns {

/// Throws "what: what the kernel said". `what` names the attempt and its object in quotes.
[[noreturn]] inline void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

}  // namespace netns
