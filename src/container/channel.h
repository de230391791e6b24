// SPDX-License-Identifier: GPL-2.0-or-later
//
// The line between a supervisor and the process it starts (a container's init, or the process behind `exec`).
//
// One pair of connected sockets that keep messages apart. What is said on it, in this order:
//   supervisor:  go
//   process:     terminal + the descriptor of a pty's master       (only when a terminal was asked for)
//   process:     failed + an encoded error, or silence
//   end of line: the command runs. The descriptor is close-on-exec, so execve itself hangs up.
// When the supervisor's end closes before `go`, the supervisor is dead and the process leaves.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "netns/unique_fd.h"

namespace mb::container {

enum class Word : char { go = 'g', terminal = 't', failed = 'f' };

struct Message {
  Word word;
  std::string text;
  netns::UniqueFd descriptor;
};

class Channel {
 public:
  Channel() = default;
  explicit Channel(netns::UniqueFd socket) : socket_(std::move(socket)) {}

  // Returns false when nobody listens any more.
  bool send(Word word, std::string_view text = {}, int descriptor = -1) const;
  // Waits. Nothing: the other end hung up.
  std::optional<Message> receive() const;
  void hang_up() { socket_.reset(); }
  int fd() const { return socket_.get(); }

 private:
  netns::UniqueFd socket_;
};

struct ChannelPair {
  Channel supervisor;
  Channel process;
};

ChannelPair open_channel();

}  // namespace mb::container
