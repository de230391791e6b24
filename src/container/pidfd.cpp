// SPDX-License-Identifier: GPL-2.0-or-later
//
// By number, because the header of glibc 2.36 for them (sys/pidfd.h) forgets that C++ exists.
#include "src/container/pidfd.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace mb::container {

netns::UniqueFd open_process(pid_t pid) noexcept {
  return netns::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

int send_signal(const netns::UniqueFd& process, int signal) noexcept {
  return static_cast<int>(::syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0));
}

}  // namespace mb::container
