// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where a container's standard streams lead, in three kinds: straight to ours, through a terminal to ours, or into the
// log.
#pragma once

#include <memory>

#include "netns/unique_fd.h"
#include "src/container/command.h"
#include "src/container/poll_loop.h"
#include "src/model/objects.h"

namespace mb::container {

class Console {
 public:
  virtual ~Console() = default;
  // What the command is started with.
  virtual Stdio stdio() const = 0;
  // The command runs; with a terminal, this is its master. The command's ends are closed here.
  virtual void connect(netns::UniqueFd terminal) = 0;
  virtual void join(PollLoop& loop) = 0;
  // The window of our terminal has a new size.
  virtual void resize() {}
  // The container has ended: takes what it left in the streams. Whether there is more that can only be delivered by
  // going on with the loop.
  virtual bool has_rest() = 0;
};

// Foreground: standard input is the user's when the process is interactive, else empty.
std::unique_ptr<Console> open_foreground_console(const ProcessSpec& spec);
// Detached: output goes to the log. An interactive process without a terminal waits for input that never comes, as in
// docker.
std::unique_ptr<Console> open_logged_console(const std::string& state_dir, const Id& id, const ProcessSpec& spec);

}  // namespace mb::container
