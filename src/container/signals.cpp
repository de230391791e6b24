// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/signals.h"

#include <sys/signalfd.h>

#include <cerrno>

#include "src/base/error.h"

namespace mb::container {

SignalBlock::SignalBlock(const sigset_t& signals) : before_() { ::pthread_sigmask(SIG_BLOCK, &signals, &before_); }

SignalBlock::~SignalBlock() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

sigset_t supervised_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGPIPE}) {
    sigaddset(&set, signal);
  }
  return set;
}

sigset_t all_signals() {
  sigset_t set;
  sigfillset(&set);
  return set;
}

SignalReader::SignalReader(const sigset_t& signals)
    : block_(signals), reader_(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK)) {
  if (!reader_) throw system_failure("cannot read signals from a descriptor", errno);
}

SignalReader::~SignalReader() {
  while (next()) {
  }
}

std::optional<int> SignalReader::next() const {
  signalfd_siginfo info{};
  ssize_t got = 0;
  do {
    got = ::read(reader_.get(), &info, sizeof info);
  } while (got < 0 && errno == EINTR);
  if (got != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

void reset_signals() noexcept {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);  // KILL and STOP refuse: fine
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace mb::container
