// SPDX-License-Identifier: GPL-2.0-or-later
//
// Terminals: a pair of pseudo terminals for the container, raw mode for ours, the window size between them.
#pragma once

#include <sys/ioctl.h>
#include <termios.h>

#include <optional>

#include "netns/unique_fd.h"

namespace mb::container {

struct Pty {
  netns::UniqueFd master;
  netns::UniqueFd slave;
};

// Opened through /dev/ptmx of the present file tree, so that the name `tty` prints exists there.
Pty open_pty(const winsize& size);

// Makes it the controlling terminal of the calling process, which must lead a session.
void take_terminal(const netns::UniqueFd& slave);

// The size of the terminal behind `fd`; nothing when there is no terminal.
std::optional<winsize> window_size(int fd);
void set_window_size(int fd, const winsize& size);

// Every key goes through as it is typed, Ctrl-C as well, until this object goes. A process that does this must take its
// signals by reading (signals.h), so that no signal ends it with the terminal left raw.
class RawMode {
 public:
  explicit RawMode(int fd);
  ~RawMode();
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;

 private:
  int fd_;
  termios before_{};
};

}  // namespace mb::container
