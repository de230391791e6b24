// SPDX-License-Identifier: GPL-2.0-or-later
//
// Signals as something to read: blocked, and taken from a descriptor in the poll loop. There is no handler anywhere.
#pragma once

#include <csignal>
#include <optional>

#include "netns/unique_fd.h"

namespace mb::container {

// Blocks signals for the calling thread as long as it lives, then gives back the mask that was there.
class SignalBlock {
 public:
  explicit SignalBlock(const sigset_t& signals);
  ~SignalBlock();
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

 private:
  sigset_t before_;
};

// What a supervisor hands on to its command: TERM, INT, HUP, QUIT, USR1, USR2. With them WINCH, for the window size,
// and PIPE, which a supervisor must survive.
sigset_t supervised_signals();
sigset_t all_signals();

// Takes signals by reading. What is still pending at the end is thrown away: it was meant for a command that has ended.
class SignalReader {
 public:
  explicit SignalReader(const sigset_t& signals);
  ~SignalReader();
  SignalReader(const SignalReader&) = delete;
  SignalReader& operator=(const SignalReader&) = delete;

  int fd() const { return reader_.get(); }
  // The next pending signal, nothing when there is none. Never waits.
  std::optional<int> next() const;

 private:
  SignalBlock block_;
  netns::UniqueFd reader_;
};

// Default dispositions and an empty mask: how a command starts.
void reset_signals() noexcept;

}  // namespace mb::container
