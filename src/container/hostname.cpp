// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/hostname.h"

#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "src/base/error.h"

namespace mb::container {

void set_hostname(const std::string& hostname) {
  if (hostname.empty()) return;
  if (::sethostname(hostname.data(), hostname.size()) != 0) {
    throw system_failure(fmt::format("cannot set the hostname '{}'", hostname), errno);
  }
}

}  // namespace mb::container
