// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/descriptors.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "src/base/error.h"

namespace mb::container {
namespace {

constexpr int kFirstOther = STDERR_FILENO + 1;

netns::UniqueFd duplicate_above_standard(int fd) {
  netns::UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, kFirstOther));
  if (!copy) throw system_failure("cannot duplicate a standard stream", errno);
  return copy;
}

void move_to(const netns::UniqueFd& fd, int number) {
  if (::dup2(fd.get(), number) < 0) throw system_failure("cannot set a standard stream", errno);
}

}  // namespace

Pipe open_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw system_failure("cannot open a pipe", errno);
  return {netns::UniqueFd(ends[0]), netns::UniqueFd(ends[1])};
}

netns::UniqueFd open_null() {
  netns::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) throw system_failure("cannot open '/dev/null'", errno);
  return null;
}

void set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) throw system_failure("cannot set up a pipe", errno);
}

void wait_readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  while (::poll(&entry, 1, -1) < 0) {
    if (errno != EINTR) throw system_failure("cannot wait for a process", errno);
  }
}

bool wait_readable(int fd, std::chrono::milliseconds patience) {
  pollfd entry{fd, POLLIN, 0};
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const int found = ::poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (found >= 0) return found > 0;
    if (errno != EINTR) throw system_failure("cannot wait for a process", errno);
  }
}

void close_all_but(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  int first = kFirstOther;
  for (const int fd : kept) {
    if (fd < first) continue;
    if (fd > first) ::close_range(static_cast<unsigned>(first), static_cast<unsigned>(fd) - 1, 0);
    first = fd + 1;
  }
  ::close_range(static_cast<unsigned>(first), ~0U, 0);
}

void become_standard_streams(const Streams& streams) {
  const netns::UniqueFd in = duplicate_above_standard(streams.in);
  const netns::UniqueFd out = duplicate_above_standard(streams.out);
  const netns::UniqueFd err = duplicate_above_standard(streams.err);
  move_to(in, STDIN_FILENO);
  move_to(out, STDOUT_FILENO);
  move_to(err, STDERR_FILENO);
}

void drop_standard_streams() noexcept {
  const netns::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (!null || ::dup2(null.get(), fd) < 0) ::close(fd);
  }
}

}  // namespace mb::container
