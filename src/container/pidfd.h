// SPDX-License-Identifier: GPL-2.0-or-later
//
// Processes held by a descriptor, so that a number that has passed to another process is never signalled.
#pragma once

#include <sys/types.h>

#include "netns/unique_fd.h"

namespace mb::container {

// Empty, with errno set, when there is no such process.
netns::UniqueFd open_process(pid_t pid) noexcept;
// Returns 0, or -1 with errno set.
int send_signal(const netns::UniqueFd& process, int signal) noexcept;

}  // namespace mb::container
