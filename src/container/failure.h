// SPDX-License-Identifier: GPL-2.0-or-later
//
// The failure of a container's command to start, and errors on their way from one process to another.
#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "src/base/error.h"

namespace mb::container {

constexpr int kOursFailed = 125;
constexpr int kCannotExecute = 126;
constexpr int kCommandNotFound = 127;
constexpr int kKilled = 137;  // 128 + SIGKILL

// Everything is in place but the command cannot be started: exit status 126 or 127, as docker has them. Every other
// failure before the command ran is a plain Error (`run` and `exec` end with 125 on these).
class CommandFailure : public Error {
 public:
  CommandFailure(int exit_status, const Error& error) : Error(error), exit_status_(exit_status) {}
  int exit_status() const { return exit_status_; }

 private:
  int exit_status_;
};

// Writes down the exception, with kind, message, hint, errno, exit status and causes, for another process.
std::string encode_error(const std::exception& error);

// The way back: throws CommandFailure or Error. What cannot be read, because the writer was killed in the middle,
// becomes an Error that says so.
[[noreturn]] void throw_decoded(std::string_view encoded);

}  // namespace mb::container
