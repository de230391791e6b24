// SPDX-License-Identifier: GPL-2.0-or-later
//
// The last step: a process becomes the container's command.
//
// Order, and why: session and streams first; the bounding set while we may still change it; the user; the
// capabilities; the working directory as that user; the death signal after the change of user, which clears it; execve,
// which hangs up the channel and so reports success. What fails before goes over the channel.
#pragma once

#include <sys/ioctl.h>
#include <sys/types.h>

#include "src/container/channel.h"
#include "src/container/descriptors.h"
#include "src/container/launch.h"

namespace mb::container {

struct Stdio {
  Streams streams;        // unless a terminal is used
  bool terminal = false;  // open one in the container and send its master over the channel
  winsize window{};
};

// Forks the command, waits until it has ended and returns its exit status (128 + signal). To be called by the process
// that is the command's init: alone in its thread, every signal blocked, already in the container's namespaces and file
// tree. From the start of the command on it holds no descriptor and no privilege but to send signals.
// Throws what fails before that; what fails in the command's own process goes over the channel.
int run_command(const ProcessSpec& spec, const std::vector<PublishSpec>& publish, const Stdio& stdio, Channel& channel);

}  // namespace mb::container
