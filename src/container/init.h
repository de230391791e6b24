// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pid 1 of a container.
//
// It exists because a command as pid 1 would ignore SIGTERM and the like (the kernel delivers to pid 1 only what it
// handles) and would have to reap strangers. It ends when its command does, and the kernel then ends everything else.
#pragma once

#include "src/container/channel.h"
#include "src/container/command.h"
#include "src/container/launch.h"

namespace mb::container {

// Waits for `go`, arranges the container, runs the command, exits with its status. Every signal is blocked already.
[[noreturn]] void run_init(const Launch& launch, const Stdio& stdio, Channel channel) noexcept;

}  // namespace mb::container
