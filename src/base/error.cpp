// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/base/error.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace mb {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::failed: return "failed";
    case ErrorKind::usage: return "usage";
    case ErrorKind::privilege: return "privilege";
    case ErrorKind::conflict: return "conflict";
    case ErrorKind::not_found: return "not_found";
    case ErrorKind::differences: return "differences";
  }
  return "failed";
}

Error::Error(ErrorKind kind, std::string message, std::string hint, int error_number)
    : kind_(kind), message_(std::move(message)), hint_(std::move(hint)), error_number_(error_number) {}

void Error::add_cause(Error further) { causes_.push_back(std::move(further)); }

Error system_failure(std::string_view what, int error_number, std::string hint) {
  const bool forbidden = error_number == EPERM || error_number == EACCES;
  return {forbidden ? ErrorKind::privilege : ErrorKind::failed,
          fmt::format("{}: {} ({})", what, std::strerror(error_number), errno_name(error_number)), std::move(hint),
          error_number};
}

std::string errno_name(int error_number) {
  const char* name = strerrorname_np(error_number);
  return name != nullptr ? name : fmt::format("errno {}", error_number);
}

}  // namespace mb
