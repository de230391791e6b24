// SPDX-License-Identifier: GPL-2.0-or-later
//
// Signals by name, as docker takes them: "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3".
#pragma once

#include <string>

namespace mb::cli {

// Throws Error(usage).
int parse_signal(const std::string& text);
// "SIGTERM", "SIGRTMIN+3"; the number of one that has no name.
std::string signal_name(int signal);

}  // namespace mb::cli
