// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a node's network looks like, as text that two looks can be compared by: whether `undo` has put everything back.
#pragma once

#include <string>
#include <string_view>

namespace mb::lab {

// The shell command that prints it.
std::string_view look_command();

// Without what may differ between two looks at the same: counters, comments with the time, what IPv6 does by itself, and
// tables that exist but hold nothing (a table that was looked at once stays in the kernel, empty).
std::string comparable(std::string_view printed);

}  // namespace mb::lab
