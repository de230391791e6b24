// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/relay.h"

#include <unistd.h>

#include <cerrno>

namespace mb::container {
namespace {

constexpr char kControlD = '\x04';

bool try_again(int error) { return error == EINTR || error == EAGAIN; }

}  // namespace

pollfd Relay::interest() const {
  if (begin_ != end_) return {to_, POLLOUT, 0};
  return {source_ended_ ? -1 : from_, POLLIN, 0};
}

void Relay::ready() {
  if (begin_ == end_) {
    fill();
  } else {
    drain();
  }
}

// The master of a terminal reports EIO when the other side is closed for good: that is its end.
void Relay::fill() {
  const ssize_t got = ::read(from_, buffer_.data(), buffer_.size());
  if (got < 0 && try_again(errno)) return;
  if (got <= 0) {
    end_source();
    return;
  }
  begin_ = 0;
  end_ = static_cast<std::size_t>(got);
  last_ = buffer_[end_ - 1];
  if (sink_broken_) begin_ = end_;
}

void Relay::drain() {
  const ssize_t put = ::write(to_, buffer_.data() + begin_, end_ - begin_);
  if (put >= 0) {
    begin_ += static_cast<std::size_t>(put);
  } else if (!try_again(errno)) {
    sink_broken_ = true;
    begin_ = end_;
  }
}

// In the middle of a line the first Ctrl-D only hands the line over; a second one means the end (termios(3), VEOF).
void Relay::end_source() {
  source_ended_ = true;
  if (!control_d_ || sink_broken_) return;
  begin_ = 0;
  end_ = 0;
  if (last_ != '\n') buffer_[end_++] = kControlD;
  buffer_[end_++] = kControlD;
}

}  // namespace mb::container
