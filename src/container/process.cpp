// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/process.h"

#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/attend.h"
#include "src/container/failure.h"
#include "src/container/init.h"
#include "src/container/pidfd.h"
#include "src/container/signals.h"

namespace mb::container {
namespace {

std::uint64_t namespaces_of(const Launch& launch) {
  const std::uint64_t always = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
  return launch.attachment == Attachment::host ? always : always | CLONE_NEWNET;
}

struct Cloned {
  pid_t pid;
  netns::UniqueFd pidfd;
};

// A fork into new namespaces, which the C library has no function for. Like fork(2) it returns twice.
Cloned fork_into_namespaces(std::uint64_t namespaces) {
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = namespaces | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) {
    throw system_failure("cannot create the container's namespaces", errno,
                         errno == EPERM ? "this needs root, or a user namespace of your own "
                                          "(unshare --user --map-root-user --net --mount)"
                                        : "");
  }
  return {static_cast<pid_t>(pid), netns::UniqueFd(pid > 0 ? pidfd : -1)};
}

// An inherited "ignore" would make the kernel forget exit statuses.
void notice_children() { ::signal(SIGCHLD, SIG_DFL); }

}  // namespace

Prepared spawn(const Launch& launch, const Stdio& stdio) {
  return spawn_process(namespaces_of(launch), [&](Channel channel) { run_init(launch, stdio, std::move(channel)); });
}

Prepared spawn_process(std::uint64_t namespaces, const std::function<void(Channel)>& life) {
  ChannelPair channel = open_channel();
  notice_children();
  // It must miss no signal and die of none between its birth and its own loop.
  const SignalBlock block(all_signals());
  Cloned cloned = fork_into_namespaces(namespaces);
  if (cloned.pid == 0) {
    life(std::move(channel.process));
    ::_exit(EXIT_FAILURE);
  }
  return {cloned.pid, std::move(cloned.pidfd), std::move(channel.supervisor)};
}

Prepared::Prepared(pid_t pid, netns::UniqueFd pidfd, Channel channel)
    : pid_(pid), pidfd_(std::move(pidfd)), channel_(std::move(channel)) {}

Prepared::Prepared(Prepared&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      channel_(std::move(other.channel_)),
      terminal_(std::move(other.terminal_)) {}

Prepared::~Prepared() { end(); }

void Prepared::end() noexcept {
  const pid_t pid = std::exchange(pid_, -1);
  if (pid < 0) return;
  ::kill(pid, SIGKILL);  // not reaped yet, so the number is still its own
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string Prepared::namespace_source() const { return fmt::format("/proc/{}/ns/net", pid_); }

void Prepared::go() {
  channel_.send(Word::go);
  while (std::optional<Message> message = channel_.receive()) {
    if (message->word == Word::terminal) terminal_ = std::move(message->descriptor);
    if (message->word == Word::failed) {
      // Not killed: it is about to leave by itself, and must first reap the command, or that one's remains would keep
      // the container's pid namespace from ending until a stranger collects them.
      wait();
      throw_decoded(message->text);
    }
  }
  channel_.hang_up();
}

void Prepared::send(int signal) const { send_signal(pidfd_, signal); }

int Prepared::wait() { return reap(std::exchange(pid_, -1)); }

}  // namespace mb::container
