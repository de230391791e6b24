// SPDX-License-Identifier: GPL-2.0-or-later
//
// No signal handler of the program runs on this thread while the object lives.
#pragma once

#include <csignal>

namespace netns {

/// A new thread and a forked child inherit the mask: block around their creation, and there is no
/// moment in which a handler could run in them.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace netns
