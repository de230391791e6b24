// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/guests.h"

#include <sched.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "src/base/error.h"

namespace mb::lab {
namespace {

// The calling thread sees the node's files from now on; a thread that shares its idea of a root directory may not do that.
void see_files_of(const Rooms& node) {
  if (::unshare(CLONE_FS) != 0 || ::setns(node.mounts.get(), CLONE_NEWNS) != 0) {
    throw system_failure("cannot look at the files of a node", errno);
  }
}

std::vector<Guest> look() {
  std::vector<Guest> guests;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", none)) {
    try {
      guests.push_back({entry.path().filename(), netns::Namespace::open(entry.path())});
    } catch (const std::system_error&) {
      continue;  // a name without a namespace behind it, or one that has just gone
    }
  }
  return guests;
}

}  // namespace

std::vector<Guest> guests_of(const Rooms& node) {
  return netns::run_in(node.network, [&] {
    see_files_of(node);
    return look();
  });
}

}  // namespace mb::lab
