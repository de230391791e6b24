// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/base/error.h"

#include <cerrno>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

namespace mb {
namespace {

ErrorKind kind_of(int error_number) {
  return error_number == EPERM || error_number == EACCES ? ErrorKind::privilege : ErrorKind::failed;
}

}  // namespace

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::failed: return "failed";
    case ErrorKind::usage: return "usage";
    case ErrorKind::privilege: return "privilege";
    case ErrorKind::conflict: return "conflict";
    case ErrorKind::not_found: return "not_found";
  }
  return "failed";
}

Error::Error(ErrorKind kind, std::string message, std::string hint, int error_number)
    : kind_(kind), message_(std::move(message)), hint_(std::move(hint)), error_number_(error_number) {}

void Error::add_cause(Error further) { causes_.push_back(std::move(further)); }

Error system_failure(std::string_view what, int error_number, std::string hint) {
  return {kind_of(error_number),
          fmt::format("{}: {} ({})", what, std::strerror(error_number), errno_name(error_number)), std::move(hint),
          error_number};
}

Error as_error(const std::exception& exception) {
  if (const auto* ours = dynamic_cast<const Error*>(&exception)) return *ours;
  const auto* failure = dynamic_cast<const std::system_error*>(&exception);
  if (failure == nullptr) return {ErrorKind::failed, exception.what()};
  const int error_number = failure->code().value();
  return {kind_of(error_number), fmt::format("{} ({})", failure->what(), errno_name(error_number)), {}, error_number};
}

std::string errno_name(int error_number) {
  const char* name = strerrorname_np(error_number);
  return name != nullptr ? name : fmt::format("errno {}", error_number);
}

}  // namespace mb
