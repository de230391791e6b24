// SPDX-License-Identifier: GPL-2.0-or-later
//
// A file descriptor with exactly one owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace netns {

/// Closes its descriptor when it goes. Movable, not copyable; -1 means "none".
class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}

  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

  /// Gives the descriptor away; from here on it is the caller's to close.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  // close() is never repeated: on Linux the descriptor is gone even when close() reports EINTR.
  void reset(int fd = -1) noexcept {
    const int old = std::exchange(fd_, fd);
    if (old >= 0) ::close(old);
  }

 private:
  int fd_ = -1;
};

}  // namespace netns
