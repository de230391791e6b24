// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/terminal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "src/base/error.h"

namespace mb::container {

Pty open_pty(const winsize& size) {
  const auto fail = [] { throw system_failure("cannot open a terminal for the container", errno); };
  Pty pty;
  pty.master.reset(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.master) fail();
  int locked = 0;
  if (::ioctl(pty.master.get(), TIOCSPTLCK, &locked) != 0) fail();
  // By the master, not by its path: works wherever devpts is mounted (Linux 4.13).
  pty.slave.reset(::ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.slave) fail();
  set_window_size(pty.master.get(), size);
  return pty;
}

void take_terminal(const netns::UniqueFd& slave) {
  if (::ioctl(slave.get(), TIOCSCTTY, 0) != 0) throw system_failure("cannot take the container's terminal", errno);
}

std::optional<winsize> window_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return std::nullopt;
  return size;
}

// A terminal that is gone has no size to set.
void set_window_size(int fd, const winsize& size) { ::ioctl(fd, TIOCSWINSZ, &size); }

RawMode::RawMode(int fd) : fd_(fd) {
  if (::tcgetattr(fd, &before_) != 0) throw system_failure("cannot read the mode of the terminal", errno);
  termios raw = before_;
  ::cfmakeraw(&raw);
  if (::tcsetattr(fd, TCSADRAIN, &raw) != 0) throw system_failure("cannot set the mode of the terminal", errno);
}

RawMode::~RawMode() { ::tcsetattr(fd_, TCSADRAIN, &before_); }

}  // namespace mb::container
